package api

import (
	"net/http"

	"authsvc/internal/auth"
)

// httpStatus maps an outcome to the HTTP status of its answer. With always200 the directory's
// verdicts, statuses 0 to 8, are all 200. A BadRequest that this package found has its own: see
// refusal.
func httpStatus(o auth.Outcome, always200 bool) int {
	if always200 && o.IsVerdict() {
		return http.StatusOK
	}
	switch o {
	case auth.OK:
		return http.StatusOK
	case auth.InvalidUser, auth.InvalidPassword, auth.CallerRefused:
		return http.StatusUnauthorized
	case auth.AccountLocked, auth.AccountDisabled, auth.AccountExpired, auth.PasswordExpired,
		auth.MustChangePassword, auth.NotPermitted:
		return http.StatusForbidden
	case auth.TooManyAttempts:
		return http.StatusTooManyRequests
	case auth.BadRequest:
		return http.StatusBadRequest
	case auth.DirectoryUnavailable, auth.Overloaded:
		return http.StatusServiceUnavailable
	case auth.DirectoryTimeout:
		return http.StatusGatewayTimeout
	case auth.InternalError:
	}
	return http.StatusInternalServerError
}
