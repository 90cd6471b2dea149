package doctor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// headerMarker is in every request to the application that echoes, to know its answer by.
const headerMarker = "X-Check"

// ownHeaders are authsvc's own, which are no business of a client.
var ownHeaders = []string{"Authsvc-Key", "Authsvc-Require-Group", "Authsvc-Status", "Authsvc-Cache", "Authsvc-Groups-Truncated"}

// kind is a way to claim a header.
type kind int

const (
	asNamed kind = iota
	otherCase
	underscores
	own           // a header of authsvc's
	ownUnderscore // its twin
	kinds
)

// forgery is a forged header.
type forgery struct {
	kind        kind
	name, value string
}

// forgeries are all forged headers for names of identity headers. Each has a value of its own, so
// that an application's answer shows which has arrived, whatever its form.
func forgeries(names []string, token string) (all []forgery) {
	add := func(k kind, name string) {
		all = append(all, forgery{k, name, fmt.Sprintf("%s-%d-", token, len(all))})
	}
	for _, name := range names {
		add(asNamed, name)
		add(otherCase, strings.ToUpper(name))
		for _, twin := range twins(name) {
			add(underscores, twin)
		}
	}
	for _, name := range ownHeaders {
		add(own, name)
		for _, twin := range twins(name) {
			add(ownUnderscore, twin)
		}
	}
	return all
}

// twins are the names with underscores for some or all hyphens. CGI, WSGI and others take each for
// the name itself.
func twins(name string) (all []string) {
	parts := strings.Split(name, "-")
	gaps := min(len(parts)-1, 4) // more are replaced alike
	for chosen := 1; chosen < 1<<gaps; chosen++ {
		twin := parts[0]
		for i, part := range parts[1:] {
			if chosen>>min(i, gaps-1)&1 == 1 {
				twin += "_" + part
			} else {
				twin += "-" + part
			}
		}
		all = append(all, twin)
	}
	return all
}

// examineEcho checks which headers reach an application.
func (f *forward) examineEcho(ctx context.Context, right bool) {
	switch {
	case f.Echo == nil:
		f.skip("identity headers", "not checked: what reaches the application is not seen without one that answers with its headers (-echo URL; deploy/echo is one)")
		return
	case !right:
		f.skip("identity headers", "not checked: it needs right credentials")
		return
	}
	at := shown(f.Echo)
	if !f.doctor.do(at, "no credentials", func() finding {
		a := f.ask(ctx, f.Echo, question{})
		if a.err == nil && a.status == http.StatusUnauthorized {
			return pass("401")
		}
		return f.open(a)
	}) {
		return
	}
	var names map[string][]string
	f.doctor.do(at, "identity headers", func() finding {
		body, problem := f.echo(ctx, http.Header{})
		if problem != nil {
			return *problem
		}
		names = headersOf(body)
		return f.judgeIdentity(names)
	})
	if names == nil {
		return
	}
	honest := f.doctor.do(at, "forged identity", func() finding { return f.checkArrivals(ctx, removeOwn, asNamed, otherCase) })
	f.doctor.do(at, "underscore twins", func() finding { return f.checkArrivals(ctx, removeTwins, underscores) })
	f.doctor.do(at, "authsvc's headers", func() finding { return f.checkOwn(ctx) })
	f.doctor.do(at, "Connection header", func() finding { return f.checkConnectionHeader(ctx, names, honest) })
	f.doctor.do(at, "password", func() finding {
		if len(names["authorization"]) == 0 {
			return pass("the application does not get the password")
		}
		return warn(f.lines(dropPassword), "the application gets the password of every user (Authorization)")
	})
}

// echo asks the application that echoes as the user, and returns its answer.
func (f *forward) echo(ctx context.Context, header http.Header) (body string, problem *finding) {
	marker := rand.Text()
	header[headerMarker] = []string{marker}
	a := f.ask(ctx, f.Echo, question{login: &login{f.User, f.Password}, header: header, read: true})
	var wrong finding
	switch {
	case a.err != nil:
		wrong = fail(tryAgain, "%v", a.err)
	case a.status != http.StatusOK:
		wrong = f.unexpected(a, "the request for the headers", "200")
	case !strings.Contains(a.body, marker):
		wrong = fail("give -echo the URL of an application that answers with the headers that it got, for example deploy/echo; it must not be cached",
			"the answer does not have the header %s of its request: the application does not answer with its headers, the proxy removes this one, or the answer was kept", headerMarker)
	default:
		return a.body, nil
	}
	return "", &wrong
}

// judgeIdentity judges the headers that the application got of an honest client.
func (f *forward) judgeIdentity(names map[string][]string) finding {
	if len(names[strings.ToLower(headerMarker)]) == 0 {
		return fail("let -echo answer with lines NAME: VALUE, or with a JSON object of headers", "the names of the headers in the answer cannot be read")
	}
	var got []string
	empty := true
	for _, name := range f.Headers {
		value := strings.Join(names[strings.ToLower(name)], ", ")
		empty = empty && value == ""
		got = append(got, fmt.Sprintf("%s: %q", name, value))
	}
	if empty {
		return fail(f.lines(sendIdentity)+f.otherNames(), "the application does not learn who %s is: it got no %s", f.User, f.names())
	}
	return finding{Mark: OK, Finding: "the application learns who the user is", Details: got}
}

// otherNames says that the recipes' lines are for the default names.
func (f *forward) otherNames() string {
	if slices.Equal(f.Headers, []string{"Remote-User", "Remote-Groups"}) {
		return ""
	}
	return "; write the names of AUTH_BASIC_HEADERS for Remote-User and Remote-Groups"
}

// arrived sends forged headers of some kinds, and returns those that the application got.
func (f *forward) arrived(ctx context.Context, header http.Header, some ...kind) (names []string, body string, problem *finding) {
	for _, g := range f.forged {
		if slices.Contains(some, g.kind) {
			header[g.name] = []string{g.value}
		}
	}
	body, problem = f.echo(ctx, header)
	for _, g := range f.forged {
		if problem == nil && strings.Contains(body, g.value) {
			names = append(names, g.name)
		}
	}
	return names, body, problem
}

// checkArrivals sends forged identity headers of some kinds, each kind for itself.
func (f *forward) checkArrivals(ctx context.Context, e edits, some ...kind) finding {
	for _, k := range some {
		names, _, problem := f.arrived(ctx, http.Header{}, k)
		switch {
		case problem != nil:
			return *problem
		case len(names) > 0 && k == underscores:
			return fail(f.lines(e)+f.otherNames(), "a client can say who it is: the application got its %s, which many applications take for %s", strings.Join(names, ", "), f.names())
		case len(names) > 0:
			return fail(f.lines(e)+f.otherNames(), "a client can say who it is: the application got its own %s", strings.Join(names, ", "))
		}
	}
	return pass("none that a client sends arrives")
}

// checkOwn sends headers of authsvc's.
func (f *forward) checkOwn(ctx context.Context) finding {
	names, _, problem := f.arrived(ctx, http.Header{}, own, ownUnderscore)
	switch {
	case problem != nil:
		return *problem
	case len(names) == 0:
		return pass("none that a client sends arrives")
	case slices.ContainsFunc(names, func(name string) bool { return !strings.Contains(name, "_") }):
		return warn(f.lines(removeOwn), "the application got a client's own %s", strings.Join(names, ", "))
	}
	return warn(f.lines(removeTwins), "the application got a client's own %s", strings.Join(names, ", "))
}

// checkConnectionHeader asks the proxy to remove the identity headers on its way (RFC 9110 section
// 7.6.1). Where forged ones do not arrive without that, it forges them too.
func (f *forward) checkConnectionHeader(ctx context.Context, before map[string][]string, forge bool) finding {
	tries := [][]kind{nil}
	if forge {
		tries = append(tries, []kind{asNamed})
	}
	for _, some := range tries {
		names, body, problem := f.arrived(ctx, http.Header{"Connection": {"close, " + strings.Join(f.Headers, ", ")}}, some...)
		switch {
		case problem != nil:
			return *problem
		case len(names) > 0:
			return fail(f.lines(removeOwn)+f.otherNames(), "a client that lists the identity headers in Connection can say who it is: the application got its own %s", strings.Join(names, ", "))
		}
		after := headersOf(body)
		for _, name := range f.Headers {
			key := strings.ToLower(name)
			if strings.Join(before[key], "") != strings.Join(after[key], "") {
				return fail(f.lines(keepIdentity)+f.otherNames(), "a client can have %s removed by listing it in Connection: the application got %q instead of %q",
					name, strings.Join(after[key], ", "), strings.Join(before[key], ", "))
			}
		}
	}
	return pass("a client cannot have the identity headers removed")
}

// headersOf reads the headers in an application's answer: a JSON object of them, alone or as the
// member headers of another, or else lines NAME: VALUE or NAME=VALUE. The names are in lower case
// with hyphens, and without the http_ of CGI.
func headersOf(body string) map[string][]string {
	all := map[string][]string{}
	add := func(name, value string) {
		name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-")
		name = strings.TrimPrefix(name, "http-")
		all[name] = append(all[name], strings.TrimSpace(value))
	}
	var object map[string]any
	if json.Unmarshal([]byte(body), &object) == nil {
		for name, member := range object {
			if inner, ok := member.(map[string]any); ok && strings.HasPrefix(strings.ToLower(name), "header") {
				object = inner
				break
			}
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			switch value := object[name].(type) {
			case string:
				add(name, value)
			case []any:
				for _, one := range value {
					if text, ok := one.(string); ok {
						add(name, text)
					}
				}
			}
		}
		return all
	}
	for line := range strings.Lines(body) {
		if i := strings.IndexAny(line, ":="); i > 0 {
			add(line[:i], line[i+1:])
		}
	}
	return all
}
