package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

const deployed = "../../deploy/"

// program of Debian's package prometheus: prometheus or promtool.
func ofPrometheus(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: apt-get install prometheus, or run make test as root", name)
	}
	return path
}

// rule is an alert of deploy/prometheus/rules.yml.
type rule struct {
	Alert       string
	Expr        string
	For         string `yaml:",omitempty"`
	Labels      map[string]string
	Annotations map[string]string
}

type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

func readRules(t *testing.T) (f ruleFile) {
	t.Helper()
	text, err := os.ReadFile(deployed + "prometheus/rules.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &f))
	require.NotEmpty(t, f.Groups)
	return f
}

// prometheus is a server that scrapes a service five times a second.
type prometheus struct{ url string }

var listeningLine = regexp.MustCompile(`msg="Listening on" .*address=(127\.0\.0\.1:\d+)`)

// startPrometheus scrapes an admin listener, with the rules that are deployed, but for the time
// that an alert waits before it fires.
func startPrometheus(t *testing.T, admin string) *prometheus {
	t.Helper()
	dir, rules := t.TempDir(), readRules(t)
	for _, g := range rules.Groups {
		for i := range g.Rules {
			g.Rules[i].For = ""
		}
	}
	text, err := yaml.Marshal(rules)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yml"), text, 0o600))
	settings := "global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}\nrule_files: [rules.yml]\n" +
		"scrape_configs: [{job_name: authsvc, static_configs: [{targets: ['" + strings.TrimPrefix(admin, "http://") + "']}]}]\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(settings), 0o600))
	cmd := exec.Command(ofPrometheus(t, "prometheus"), "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data",
		"--web.listen-address=127.0.0.1:0")
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	listens, done := make(chan string, 1), make(chan struct{})
	var said strings.Builder
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if m := listeningLine.FindStringSubmatch(lines.Text()); m != nil {
				listens <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-done
		_ = cmd.Wait()
	})
	select {
	case addr := <-listens:
		return &prometheus{url: "http://" + addr}
	case <-done:
		t.Fatalf("Prometheus ended:\n%s", said.String())
		return nil
	}
}

// query gives how many series a query results in; -1 where it is no query, or Prometheus is not
// ready, with what it says.
func (p *prometheus) query(t *testing.T, query string) (series int, problem string) {
	t.Helper()
	resp, err := http.PostForm(p.url+"/api/v1/query", url.Values{"query": {query}})
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return -1, resp.Status
	}
	if answer.Status != "success" {
		return -1, answer.Error
	}
	return len(answer.Data.Result), ""
}
