package auth

import "errors"

// ResultCode is the LDAP result code (RFC 4511 appendix A) in which the directory's answer to the
// decisive search or bind ended, as far as it explains a result that is not OK. ok is false where
// no answer decided.
func (r Result) ResultCode() (code uint16, ok bool) {
	var answer *directoryError
	if !errors.As(r.Cause, &answer) {
		return 0, false
	}
	return answer.result.Code, true
}
