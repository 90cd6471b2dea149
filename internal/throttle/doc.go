// Package throttle decides whether an attempt on an account is allowed now. It counts failures of
// an account from one client, of an account from everywhere, and of a client over all accounts
// ([AnyAccount]), each by GCRA (the generic cell rate algorithm of ITU-T I.371, a leaky bucket kept
// as one point in time): a number of failures at once, which are refunded evenly over a window.
//
// An attempt is reserved before the bind and settled with its result. Pending attempts use the
// budget too: an attempt that exceeds it waits for them. So failures never exceed the budget,
// however many attempts are concurrent, and right passwords are never rejected for concurrency
// alone.
//
// [Memory] keeps the counts in bounded memory. Evicting a count does not free an account: see
// [Memory].
package throttle
