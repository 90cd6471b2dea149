// Package sharedthrottle is the throttle of several instances that count together, in a Redis
// server, a group of them behind Sentinel, or a Cluster.
//
// A [Throttle] wraps a [throttle.Memory], which decides first, and then asks the server once. So an
// attempt needs a part of the budget of this instance and a part of the budget that all share.
// Without the server the first remains: with N instances the limits are then at most N times as
// wide, and no attempt fails because of it.
//
// An attempt is reserved by reserve.lua, on the server, which also tells undecided attempts from
// failures: an attempt waits for undecided ones of other instances, and asks again. Its result is
// recorded by settle.lua after its answer. Both count as [throttle.Memory] does, in microseconds of
// the server's clock.
//
// An attempt waits 100 ms for the server's answer. A question that fails, or several in a row that
// take longer, open a breaker. While it is open the server is not asked for attempts. It is
// examined every second, whether the breaker is open or not.
package sharedthrottle
