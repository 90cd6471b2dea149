package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"authsvc/internal/clientaddr"
	"authsvc/internal/probe"
)

// maxArrival bounds what is read of the admin listener, in bytes.
const maxArrival = 64 << 10

// errNotArrived is the error of a request that the service behind the admin listener has not got.
var errNotArrived = errors.New("the authsvc at ADMIN_ADDR has not got the request with wrong credentials: the proxy has not asked it, or asks another instance, or this one is older")

// checkClient reports which client authsvc has seen in the request with wrong credentials: the
// throttle counts failures for each client.
func (f *forward) checkClient(ctx context.Context) finding {
	if f.Service == nil {
		return skip("not checked: whom authsvc takes for the client is seen only on the service's machine with its environment, which holds HTTP_TRUSTED_PROXIES and ADMIN_ADDR")
	}
	a, err := f.arrival(ctx)
	switch {
	case err == nil:
		return f.judgeClient(a)
	case len(f.Service.TrustedProxies) == 0:
		return fail("set HTTP_TRUSTED_PROXIES to the proxy's address; and "+f.lines(sendAddress),
			"HTTP_TRUSTED_PROXIES is not set, so authsvc takes all users for one client: the proxy. Ten wrong passwords for an account from anywhere lock its owner out")
	}
	return skip("not checked: HTTP_TRUSTED_PROXIES is set, but what authsvc sees is not known here: %v", err)
}

// arrival asks the admin listener how the request with wrong credentials has arrived.
func (f *forward) arrival(ctx context.Context) (a probe.Arrival, err error) {
	if f.Service.Admin == "" {
		return a, errors.New("ADMIN_ADDR is off")
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	u := &url.URL{Scheme: "http", Host: f.Service.Admin, Path: probe.Path, RawQuery: url.Values{"username": {f.nobody.name}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return a, errors.New("ADMIN_ADDR cannot be asked")
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return a, explained(err, u)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxArrival))
	switch {
	case err != nil:
		return a, explained(err, u)
	case resp.StatusCode == http.StatusNotFound:
		return a, errNotArrived
	}
	if resp.StatusCode == http.StatusOK && json.Unmarshal(body, &a) == nil {
		if _, err := netip.ParseAddr(a.Peer); err == nil {
			return a, nil
		}
	}
	return a, fmt.Errorf("ADMIN_ADDR answers %d, and not as authsvc does", resp.StatusCode)
}

// judgeClient judges whom authsvc took for the client of a request from this machine, which claimed
// to come from forgedAddress.
func (f *forward) judgeClient(a probe.Arrival) finding {
	const cost = "Ten wrong passwords for an account from anywhere lock its owner out"
	elements := forwardedElements(a.ForwardedFor)
	switch {
	case !a.Trusted && len(elements) == 0:
		return fail("send the client's address: "+f.lines(sendAddress)+"; and set HTTP_TRUSTED_PROXIES="+a.Peer,
			"all users are one client to authsvc, %s: that proxy sends no X-Forwarded-For. %s", a.Peer, cost)
	case !a.Trusted:
		return fail("set HTTP_TRUSTED_PROXIES="+a.Peer+" if that is the proxy's address",
			"all users are one client to authsvc, %s: it is not in HTTP_TRUSTED_PROXIES, so its X-Forwarded-For does not count. %s", a.Peer, cost)
	case len(elements) == 0:
		return fail("send the client's address: "+f.lines(sendAddress), "all users are one client to authsvc, %s: that proxy sends no X-Forwarded-For. %s", a.Peer, cost)
	case a.Client == clientaddr.Unknown:
		return fail("send the client's address: "+f.lines(sendAddress), "all users are one client to authsvc: the proxy's X-Forwarded-For ends with %q, which is no address. %s",
			elements[len(elements)-1], cost)
	case elements[len(elements)-1] == forgedAddress:
		return fail("replace the client's own X-Forwarded-For: "+f.lines(sendAddress),
			"everybody can choose the address that the throttle counts: authsvc believed the X-Forwarded-For that this check forged, %s", forgedAddress)
	case a.Client == forgedAddress:
		return warn("check from a machine that is not in HTTP_TRUSTED_PROXIES",
			"the proxy appends this machine's address to a client's own X-Forwarded-For, and this machine is in HTTP_TRUSTED_PROXIES itself: what others can forge is not seen from here")
	}
	if addr, err := netip.ParseAddr(a.Client); err != nil || addr != f.local {
		return warn("if address translation on the way explains that, it is right; if it is another proxy or a container's gateway, which all users share, let that one pass the client's address on too, and list it in HTTP_TRUSTED_PROXIES",
			"authsvc takes this machine for %s, and it has connected from %s", a.Client, f.local)
	}
	return pass("authsvc takes this machine for %s, as it is, and did not believe a forged X-Forwarded-For", a.Client)
}

// forwardedElements are the elements of the fields X-Forwarded-For that are not empty.
func forwardedElements(fields []string) (elements []string) {
	for _, field := range fields {
		for element := range strings.SplitSeq(field, ",") {
			if element = strings.TrimSpace(element); element != "" {
				elements = append(elements, element)
			}
		}
	}
	return elements
}
