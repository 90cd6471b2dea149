package dialect

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecognize_KnowsEachKindByItsRootDSE(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		root RootDSE
		want *Dialect
	}{
		"OpenLDAP":            {RootDSE{"objectclass": {"top", "OpenLDAProotDSE"}}, &openLDAP},
		"Active Directory":    {RootDSE{"supportedcapabilities": {"1.2.3", "1.2.840.113556.1.4.800"}}, &ad},
		"389 DS":              {RootDSE{"vendorname": {"389 Project"}, "vendorversion": {"389-Directory/2.3.1 B2023.1"}}, &ds389},
		"Red Hat DS":          {RootDSE{"vendorname": {"Red Hat"}}, &ds389},
		"FreeIPA":             {RootDSE{"vendorname": {"389 Project"}, "supportedextension": {"2.16.840.1.113730.3.8.10.5"}}, &freeIPA},
		"FreeIPA by topology": {RootDSE{"vendorname": {"389 Project"}, "ipatopologypluginversion": {"1.0"}}, &freeIPA},
		"FreeIPA by level":    {RootDSE{"vendorname": {"389 Project"}, "ipadomainlevel": {"1"}}, &freeIPA},
		"lldap":               {RootDSE{"vendorname": {"LLDAP"}, "vendorversion": {"lldap_0.6.3"}}, &lldap},
		"another":             {RootDSE{"vendorname": {"NetIQ Corporation"}}, nil},
		"nothing":             {nil, nil},
	} {
		require.Equal(t, c.want, Recognize(c.root), name)
	}
}
