package api

import (
	"net/http"
	"time"

	"authsvc/internal/auth"

	"github.com/labstack/echo/v4"
)

// postAuth answers one login. It runs to its end whether the caller waits or not.
func (s *Server) postAuth(c echo.Context) error {
	if err := s.admit(c, bearerKey); err != nil { // before its body is read
		r := auth.Result{Outcome: auth.CallerRefused, Cause: err}
		// The next attempt costs the caller a new connection, with or without a body in this one.
		c.Response().Header().Set(echo.HeaderConnection, "close")
		s.tell(c, r)
		return s.answer(c, http.StatusUnauthorized, r)
	}
	creds, err := s.credentials(c)
	if err != nil {
		return err
	}
	creds.RequestID, creds.Client, creds.Caller = requestID(c), c.RealIP(), callerOf(c)
	conn := limitedConn(c.Request())
	conn.Hold()
	defer conn.Release()
	r := s.authenticator.Authenticate(c.Request().Context(), creds)
	// A peer that reads no answers does not keep its connection from being closed for another one
	// for long.
	defer time.AfterFunc(heldAnswer, conn.Release).Stop()
	if err := s.answer(c, httpStatus(r.Outcome, s.always200), r); err != nil {
		return err
	}
	// Once released, the connection may be closed for one that waits for room: the answer has to be
	// on its way before.
	return http.NewResponseController(c.Response().Writer).Flush()
}

// heldAnswer is how long writing the answer may hold a connection.
const heldAnswer = time.Second

// credentials reads the request's body. The buffer that held the password is wiped and given back
// before the login begins, which may take long.
func (s *Server) credentials(c echo.Context) (auth.Credentials, error) {
	req := c.Request()
	mediaType, err := bodyType(req.Header)
	if err != nil {
		return auth.Credentials{}, err
	}
	if req.ContentLength > maxBody {
		return auth.Credentials{}, errBodyTooLarge
	}
	buf := s.requests.Get().(*requestBuffer)
	defer func() {
		buf.wipe()
		s.requests.Put(buf)
	}()
	if err := buf.read(req.Body); err != nil {
		return auth.Credentials{}, err
	}
	s.bodyRead(c)
	if mediaType == typeForm {
		return decodeForm(buf.bytes())
	}
	return buf.decodeJSON()
}
