// Package api is HTTP in front of the login: it turns a request into auth.Credentials and an
// auth.Result into an answer. It knows no directory.
//
// A request is read strictly: whatever two readers could understand differently is refused, and a
// refusal names the field and the rule but repeats nothing that the caller sent. What is served,
// with every answer, is in openapi.yaml, which the service hands out itself.
package api
