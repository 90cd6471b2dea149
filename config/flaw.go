package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Editors, shells and files leave characters at the ends of values that nobody sees there. A DN,
// filter, template, URL or name with one of them is refused. A secret may have them, and is used as
// it is: see [Config.warnOfSecrets].

// flaw says what cannot be meant in a value that is no secret, or nothing. It shows nothing of the
// value but that character.
func flaw(value string) string {
	if !utf8.ValidString(value) {
		return "is not valid UTF-8"
	}
	if i := strings.IndexFunc(value, unicode.IsControl); i >= 0 {
		r, size := utf8.DecodeRuneInString(value[i:])
		return fmt.Sprintf("has a control character %s: %s", place(value, i, size), characterName(r))
	}
	if strings.TrimSpace(value) == "" {
		return strconv.Quote(value) + " contains only white space"
	}
	if first, _ := utf8.DecodeRuneInString(value); invisible(first) {
		return "begins with white space: " + characterName(first)
	}
	if last, _ := utf8.DecodeLastRuneInString(value); invisible(last) && !endsEscaped(value) {
		return "ends with white space: " + characterName(last)
	}
	if quoted(value) {
		return "is in quotes, which would become part of the value: remove them"
	}
	return ""
}

// place says where in a value a character of this size is.
func place(value string, i, size int) string {
	switch {
	case i+size == len(value):
		return "at its end"
	case i == 0:
		return "at its beginning"
	}
	return fmt.Sprintf("in byte %d", i+1)
}

// invisible reports whether a character at the end of a value cannot be seen: white space, and what
// formats text, as the byte order mark.
func invisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

// endsEscaped reports whether a value ends with a space that belongs to a DN's value (RFC 4514
// section 2.4).
func endsEscaped(value string) bool {
	before, ok := strings.CutSuffix(value, " ")
	return ok && (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
}

// quoted reports whether a whole value stands in quotes.
func quoted(value string) bool {
	return len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[0] == value[len(value)-1]
}

// characterName names a character that cannot be seen.
func characterName(r rune) string {
	names := map[rune]string{
		'\t': "a tab", '\n': "a line feed", '\r': "a carriage return", ' ': "a space", '\u00a0': "a no-break space",
		'\u200b': "a zero width space", '\ufeff': "a byte order mark", 0: "NUL",
		'"': "a quote", '\'': "a quote", '`': "a quote", '\u201c': "a quote", '\u201d': "a quote", '\u2018': "a quote", '\u2019': "a quote",
		'\u201e': "a quote", '\u201a': "a quote", '\u00ab': "a quote", '\u00bb': "a quote",
	}
	if name, ok := names[r]; ok {
		return name
	}
	return fmt.Sprintf("%U", r)
}

// refuseFlaws refuses values that hold what cannot be meant. Secrets are never looked at.
func refuseFlaws(names []string, sources map[string]source, wrong *problems) {
	for _, name := range names {
		value := sources[name].value
		separator, list := separators()[name]
		if value == "" || list && (strings.Contains(value, separator) || strings.TrimSpace(value) == "") {
			continue // white space around the items of a list is no part of them, and each is looked at by its type
		}
		if text := flaw(value); text != "" {
			wrong.add(name, "%s", text)
		}
	}
}

// separators are those of the variables that are lists.
func separators() map[string]string {
	all := map[string]string{}
	eachField(func(name string, t reflect.Type) {
		switch t {
		case reflect.TypeFor[List](), reflect.TypeFor[HostList](), reflect.TypeFor[PrefixList]():
			all[name] = ","
		case reflect.TypeFor[DNList]():
			all[name] = ";"
		}
	})
	return all
}

// textVariables lists the variables of DNs, filters, templates, URLs, names and files, in order:
// every text, but for the addresses of listeners.
func textVariables() []string {
	lists, texts := separators(), map[string]bool{}
	eachField(func(name string, t reflect.Type) {
		texts[name] = lists[name] != "" || t.Kind() == reflect.String && !strings.HasSuffix(name, "_ADDR")
	})
	return slices.DeleteFunc(plainVariables(), func(name string) bool { return !texts[name] })
}

// plainVariables lists the variables that are no secrets, in order.
func plainVariables() (names []string) {
	for _, v := range variables() {
		if !v.secret {
			names = append(names, v.name)
		}
	}
	return names
}

// eachField calls do with each variable and the type of its field.
func eachField(do func(name string, t reflect.Type)) {
	config := reflect.TypeFor[Config]()
	for group := range config.NumField() {
		t := config.Field(group).Type
		for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
			if name := t.Field(i).Tag.Get("env"); name != "" {
				do(name, t.Field(i).Type)
			}
		}
	}
}
