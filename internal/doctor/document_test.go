package doctor_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"authsvc/internal/doctor"
	"authsvc/internal/sampletest"

	"github.com/stretchr/testify/require"
)

var samples = sampletest.Document{File: "../../docs/doctor-samples.md", Command: "./internal/doctor -update"}

const tableHead = "| what is wrong | the last lines |\n|---|---|\n"

// row returns a line of the document's table: the last lines of a report.
func row(t *testing.T, what string, steps []doctor.Step) string {
	t.Helper()
	var b bytes.Buffer
	r := stable(t, steps)
	(&doctor.Text{W: &b, Width: 1 << 20}).Summary(r)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for i, line := range lines {
		lines[i] = strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(strings.TrimSpace(line))
	}
	return "| " + what + " | " + strings.Join(lines, "<br>") + " |\n"
}

// output returns a whole report as it is printed, in a fenced block below the command.
func output(t *testing.T, command string, steps []doctor.Step) string {
	t.Helper()
	var b bytes.Buffer
	r := stable(t, steps)
	text := doctor.Text{W: &b, Width: 100}
	for _, s := range r.Steps {
		text.Write(s)
	}
	text.Summary(r)
	return "```console\n$ " + command + "\n" + b.String() + "```\n"
}

// volatile lists what differs between runs, and what the document has instead.
var volatile = []struct {
	of  *regexp.Regexp
	new string
}{
	{regexp.MustCompile(`(ldaps://[\w.]+):\d+`), "$1:636"},
	{regexp.MustCompile(`(ldap://[\w.]+):\d+`), "$1:389"},
	{regexp.MustCompile(`(127\.[\d.]+):\d{4,5}`), "$1:389"},
	{regexp.MustCompile(`127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+`), "127.0.0.2"}, // Samba's
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\dZ| UTC)`), "2026-01-02 15:04 UTC"},
	{regexp.MustCompile(`\d+ (days|hours) left`), "90 days left"},
	{regexp.MustCompile(`the limit is \d+ open files`), "the limit is 524288 open files"},
	{regexp.MustCompile(`the directory accepts \d+ connections`), "the directory accepts 4096 connections"},
	{regexp.MustCompile(`LDAP_POOL_MAX_CONNS to at most \d+`), "LDAP_POOL_MAX_CONNS to at most 6"},
	{regexp.MustCompile(`agree within \d+s`), "agree within 2s"},
	{regexp.MustCompile(`TLS 1\.\d, TLS_\w+`), "TLS 1.3, TLS_AES_128_GCM_SHA256"},
	// These depend on what else is installed with the directory.
	{regexp.MustCompile(`SASL mechanisms: [^"]+`), "SASL mechanisms: GSSAPI, DIGEST-MD5, PLAIN"},
	{regexp.MustCompile(`controls: \d+`), "controls: 13"},
}

// stable returns a report in which what differs between runs is replaced.
func stable(t *testing.T, steps []doctor.Step) *doctor.Report {
	t.Helper()
	report := encoded(t, steps)
	for _, v := range volatile {
		report = v.of.ReplaceAllString(report, v.new)
	}
	var r doctor.Report
	require.NoError(t, json.Unmarshal([]byte(report), &r))
	for i := range r.Steps {
		if r.Steps[i].TookMS > 0 {
			r.Steps[i].TookMS = 1
		}
	}
	return &r
}
