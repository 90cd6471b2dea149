// Package logsafe makes what others cause fit for a log. Texts from outside are bounded in length,
// valid UTF-8, and free of characters that garble a terminal. Lines that a fault can repeat are
// bounded in pace.
package logsafe
