package bench

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

const (
	users  = 10_000
	rounds = 5               // of each load, interleaved with the others
	round  = 2 * time.Second // each
)

// adminAddr is where the service's profiler can be asked during a benchmark.
var adminAddr = flag.String("admin", "127.0.0.1:0", "the service's ADMIN_ADDR")

// baselineEnv names the binary of another version to compare with.
const baselineEnv = "AUTHSVC_BENCH_BASELINE"

// contender is something that can answer whether a user has a password.
type contender struct {
	name    string
	connect func(*testing.B) caller
	server  *child // nil for a client of the directory, which is part of this process
	asked   *child // by the server for each request; nil if it asks nothing but the directory
}

// BenchmarkLogin compares logins: by a bare go-ldap client (L), Apache's mod_authnz_ldap without
// its caches, another version if there is one, and this version; and H, an echo handler that asks
// no directory. They take turns within one run, in the clear and over TLS to the directory. CPU is
// that of the server alone; of L it includes the load.
func BenchmarkLogin(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users, TLS: true})
	trust := "LDAP_CA_FILE=" + slapd.CA().File()
	for _, url := range []string{slapd.URL(), "ldaps://" + slapd.TLSAddr()} {
		scheme, _, _ := strings.Cut(url, "://")
		contenders := []contender{{"L", bare(url, slapd.CA().ClientTLS("127.0.0.1")), nil, nil}, onHTTP("H", startEcho(b))}
		apache := startApache(b, url, slapd.CA().File())
		contenders = append(contenders, contender{"apache", overBasic(apache.addr, "/index"), apache, nil})
		if binary := os.Getenv(baselineEnv); binary != "" {
			contenders = append(contenders, onHTTP("baseline", runService(b, binary, url, trust)))
		}
		contenders = append(contenders, onHTTP("authsvc", startService(b, url, trust)))
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", scheme, callers), func(b *testing.B) {
				for b.Loop() {
					compare(b, contenders, callers)
				}
			})
		}
	}
}

// onHTTP is a contender that answers POST /auth.
func onHTTP(name string, server *child) contender {
	return contender{name, overHTTP(server.addr), server, nil}
}

// compare measures the contenders in turns, prints a table, and returns it: the means over the
// rounds.
func compare(b *testing.B, contenders []contender, callers int) []figures {
	b.Helper()
	got := make([]figures, len(contenders))
	for range rounds {
		for i, c := range contenders {
			got[i].add(measure(b, c, callers))
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\n%s\tlogins/s\tp50 µs\tp99 µs\tCPU µs\tallocations\tbytes\t\n", b.Name())
	for i, c := range contenders {
		f := got[i]
		fmt.Fprintf(table, "%s\t%.0f\t%d\t%d\t%.0f\t%s\t%s\t\n", c.name, f.perSecond/rounds, f.p50.Microseconds()/rounds,
			f.p99.Microseconds()/rounds, f.cpu/rounds, perLogin(f.allocations), perLogin(f.bytes))
	}
	require.NoError(b, table.Flush())
	last := got[len(got)-1]
	b.ReportMetric(last.perSecond/rounds, "logins/s")
	b.ReportMetric(last.cpu/rounds, "CPU-µs/login")
	return got
}

// perLogin prints a mean over the rounds, or a dash for a contender that does not report it.
func perLogin(sum float64) string {
	if sum == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", sum/rounds)
}

// measure puts one round of load on a contender.
func measure(b *testing.B, c contender, callers int) figures {
	b.Helper()
	before := c.usage(b)
	f := load(b, callers, round, c.connect)
	after := c.usage(b)
	f.cpu = float64((after.cpu - before.cpu).Microseconds()) / f.logins
	f.allocations, f.bytes = (after.allocations-before.allocations)/f.logins, (after.bytes-before.bytes)/f.logins
	return f
}

// BenchmarkMemory measures the most memory resident with a thousand callers, of the service and of
// an echo handler under the same load.
func BenchmarkMemory(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users})
	servers := []contender{onHTTP("H", startEcho(b)), onHTTP("authsvc", startService(b, slapd.URL()))}
	for b.Loop() {
		for _, c := range slices.Backward(servers) {
			f := load(b, 1000, 5*time.Second, c.connect)
			b.ReportMetric(f.perSecond, c.name+"-logins/s")
			b.ReportMetric(c.server.peakMiB(b), c.name+"-peak-MiB")
		}
	}
}
