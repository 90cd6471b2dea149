package auth

// FillDN is the DN that a template makes of a name.
func FillDN(template, name string) (string, error) {
	t, err := parseDNTemplate(template)
	return t.fill(name), err
}
