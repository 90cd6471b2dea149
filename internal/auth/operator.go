package auth

import "errors"

// ResultCode returns the LDAP result code (RFC 4511 appendix A) of the decisive search or bind, if
// that explains a result that is not OK. ok is false if no answer of the directory was decisive.
func (r Result) ResultCode() (code uint16, ok bool) {
	var answer *directoryError
	if !errors.As(r.Cause, &answer) {
		return 0, false
	}
	return answer.result.Code, true
}
