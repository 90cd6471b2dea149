//go:build !unix

package main

// descriptorLimit: there is none.
func descriptorLimit() (limit uint64, ok bool) { return 0, false }
