package api

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// openAPIYAML describes the main listener. A test holds it against the handlers.
//
//go:embed openapi.yaml
var openAPIYAML []byte

// openAPI serves the description, with the media type of RFC 9512.
func openAPI(c echo.Context) error {
	return writeBody(c, http.StatusOK, "application/yaml", openAPIYAML)
}
