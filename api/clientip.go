package api

import (
	"net/http"
	"net/netip"

	"authsvc/internal/clientaddr"

	"github.com/labstack/echo/v4"
)

// clientAddress returns what finds the client's address behind trusted proxies.
func clientAddress(trusted []netip.Prefix) echo.IPExtractor {
	return func(r *http.Request) string {
		return clientaddr.Find(r.RemoteAddr, r.Header[echo.HeaderXForwardedFor], trusted)
	}
}
