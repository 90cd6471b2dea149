package bench

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"authsvc/internal/haproxytest"
	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"

	"github.com/stretchr/testify/require"
)

// BenchmarkShared compares logins with the throttle of one instance and with the one that several
// share, and shows what a login costs the Redis server.
func BenchmarkShared(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users})
	redis := redistest.Start(b)
	binary := build(b)
	local := onHTTP("local", runService(b, binary, slapd.URL()))
	shared := onHTTP("shared", runService(b, binary, slapd.URL(), "AUTH_THROTTLE_REDIS_URL=redis://"+redis.Addr))
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			for b.Loop() {
				before := workOf(b, redis)
				got := compare(b, []contender{local, shared}, callers)
				after, n := workOf(b, redis), got[1].logins
				for unit, of := range map[string]string{"commands": "total_commands_processed", "bytes-in": "total_net_input_bytes", "bytes-out": "total_net_output_bytes"} {
					b.ReportMetric((after[of]-before[of])/n, "redis-"+unit+"/login")
				}
				b.ReportMetric((after["used_cpu_user"]+after["used_cpu_sys"]-before["used_cpu_user"]-before["used_cpu_sys"])/n*1e6, "redis-CPU-µs/login")
			}
		})
	}
}

// workOf returns the numbers of INFO that say what a server has done.
func workOf(b *testing.B, s *redistest.Server) map[string]float64 {
	b.Helper()
	work := make(map[string]float64)
	for _, m := range regexp.MustCompile(`(?m)^(\w+):([0-9.]+)\r?$`).FindAllStringSubmatch(s.Run("INFO", "stats")+"\n"+s.Run("INFO", "cpu"), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err == nil {
			work[m[1]] = n
		}
	}
	return work
}

// BenchmarkReplicas measures logins of one, two and three replicas behind HAProxy that share a
// throttle, in turns, and the CPU time of everything that takes part. All of it shares one machine,
// so that says what the bottleneck is. Passwords are stored in the clear: a bind costs the
// directory less than any hash would.
func BenchmarkReplicas(b *testing.B) {
	const most, callers = 3, 64
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users})
	redis := redistest.Start(b)
	binary := build(b)
	parts := []part{{"load", os.Getpid()}, {"slapd", slapd.PID()}, {"redis", redis.PID()}}
	sets := make([]replicas, most)
	var addrs []string
	for i := range most {
		s := runService(b, binary, slapd.URL(), "AUTH_THROTTLE_REDIS_URL=redis://"+redis.Addr, "HTTP_TRUSTED_PROXIES=127.0.0.1", "LDAP_POOL_MAX_CONNS=10")
		addrs = append(addrs, s.addr)
		parts = append(parts, part{"authsvc", s.Process.Pid})
		front := haproxytest.Start(b, haproxytest.Quick, addrs...)
		sets[i] = replicas{strings.TrimPrefix(front.URL, "http://"), append(parts[:len(parts):len(parts)], part{"haproxy", front.PID})}
	}
	for b.Loop() {
		compareReplicas(b, sets, callers)
	}
}

// part is a process that takes part in logins.
type part struct {
	name string
	pid  int
}

// replicas are services behind HAProxy.
type replicas struct {
	addr  string // of HAProxy
	parts []part
}

// compareReplicas measures the sets in turns and prints a table: the means over the rounds.
func compareReplicas(b *testing.B, sets []replicas, callers int) {
	b.Helper()
	names := []string{"load", "haproxy", "authsvc", "redis", "slapd"}
	got, spent := make([]figures, len(sets)), make([]map[string]time.Duration, len(sets))
	for i := range sets {
		spent[i] = make(map[string]time.Duration)
	}
	for range rounds {
		for i, s := range sets {
			s.account(b, spent[i], -1)
			got[i].add(load(b, callers, round, overHTTP(s.addr)))
			s.account(b, spent[i], 1)
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\n%s\tlogins/s\tp50 µs\tp99 µs\tCPU µs/login: %s\t\n", b.Name(), strings.Join(names, "\t"))
	for i, f := range got {
		fmt.Fprintf(table, "%d replicas\t%.0f\t%d\t%d\t", i+1, f.perSecond/rounds, f.p50.Microseconds()/rounds, f.p99.Microseconds()/rounds)
		for _, name := range names {
			fmt.Fprintf(table, "%.0f\t", float64(spent[i][name].Microseconds())/f.logins)
		}
		fmt.Fprintln(table)
		b.ReportMetric(f.perSecond/rounds, fmt.Sprintf("logins/s-%d", i+1))
	}
	require.NoError(b, table.Flush())
}

// account adds what the parts have used so far, times a sign.
func (r replicas) account(b *testing.B, spent map[string]time.Duration, sign time.Duration) {
	b.Helper()
	for _, p := range r.parts {
		spent[p.name] += sign * cpuTime(b, strconv.Itoa(p.pid))
	}
}
