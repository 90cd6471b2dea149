package ldaptest

import (
	"fmt"
	"time"
)

// PolicyLDIF returns a password policy, cn=policy below [BaseDN], and users in states on which the
// policy has an opinion. Each user is named by its state, and has the password "secret". It is for
// [SlapdConfig]: a slapd with the overlay ppolicy.
func PolicyLDIF() string {
	ldif := "dn: cn=policy," + BaseDN + "\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\npwdAttribute: userPassword\n" +
		"pwdMaxAge: 7776000\npwdExpireWarning: 604800\npwdLockout: TRUE\npwdMaxFailure: 3\npwdMustChange: TRUE\npwdGraceAuthNLimit: 2\n\n"
	at := func(days int) string {
		return time.Now().Add(time.Duration(days) * 24 * time.Hour).UTC().Format("20060102150405Z")
	}
	for uid, lines := range map[string]string{
		"good":     "mail: good@example.org\npwdChangedTime: " + at(-1),
		"locked":   "pwdChangedTime: " + at(-1) + "\npwdAccountLockedTime: 000001010000Z",
		"reset":    "pwdChangedTime: " + at(-1) + "\npwdReset: TRUE",
		"expiring": "pwdChangedTime: " + at(-85),
		"grace":    "pwdChangedTime: " + at(-100),
		"expired":  "pwdChangedTime: " + at(-100) + "\npwdGraceUseTime: " + at(-1) + "\npwdGraceUseTime: " + at(-2),
	} {
		ldif += fmt.Sprintf("dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: x\nsn: x\nuserPassword: secret\n%[3]s\n\n", uid, PeopleDN, lines)
	}
	return ldif
}
