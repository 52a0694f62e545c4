// Package listen is what the protocols' listeners have in common: it accepts
// connections, admits as many as there may be, secures them with TLS, and ends
// them when the server stops. What a connection says is its protocol's business:
// a protocol gives New a function that makes its kind of Conn of a socket.
//
// A connection passes, on a goroutine of its own, through admission (a place is
// taken before anything is read), the TLS handshake, if its listener has one,
// and Conn.Serve. Shutdown drains what is served and drops what has not come
// that far.
package listen
