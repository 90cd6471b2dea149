// Package throttle decides whether an account may be tried now. It counts failures of an account
// from one client, of an account from everywhere, and of a client over all accounts ([AnyAccount]),
// each by GCRA (the generic cell rate algorithm of ITU-T I.371, a leaky bucket kept as one point in
// time): so many failures at once, given back evenly over a window.
//
// An attempt is reserved before the directory is asked and settled by what it came to. Attempts
// that are not decided yet take from the budget: one more than it holds waits for them. So failures
// never exceed the budget, however many come at one time, and right passwords all get through.
//
// [Memory] keeps the counts in bounded memory. What it forgets frees nobody: see [Memory].
package throttle
