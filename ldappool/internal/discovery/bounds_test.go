package discovery

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTargets_AreBoundedAndHaveNames(t *testing.T) {
	t.Parallel()
	var many []*net.SRV
	for i := range 5000 {
		many = append(many, &net.SRV{Target: fmt.Sprintf("dc%d.example.org.", i), Port: 389})
	}
	urls, canonical := Targets(many)
	require.Len(t, urls, maxTargets)
	require.Equal(t, "ldap://dc0.example.org:389", urls[0], "first choice first")
	require.Len(t, canonical, maxRecords)

	for _, record := range []net.SRV{
		{Target: strings.Repeat("x.", 200), Port: 389},
		{Target: "127.0.0.1.", Port: 389}, {Target: "169.254.169.254", Port: 80}, {Target: "::1", Port: 389},
		{Target: "dc.example.org.", Port: 0}, {Target: ".", Port: 389}, {Target: "", Port: 389},
	} {
		urls, _ := Targets([]*net.SRV{&record, {Target: "dc1.example.org.", Port: 389}})
		require.Equal(t, []string{"ldap://dc1.example.org:389"}, urls, "%v", record)
	}
}
