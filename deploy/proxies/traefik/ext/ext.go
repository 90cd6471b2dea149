// Package ext stands in for a module of Traefik that is not published. In Traefik, too, it has only
// these empty types, which its configuration embeds.
package ext

// HTTP adds nothing to Traefik's HTTP configuration.
type HTTP struct{}

// Router adds nothing to a router.
type Router struct{}
