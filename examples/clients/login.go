// Login asks authsvc about one login:
//
//	AUTHSVC_URL=https://... AUTHSVC_KEY=... login USERNAME <PASSWORD
//
// Exit code: 0 let the user in, 1 do not, 2 unknown, try later, 3 somebody must mend something.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const wrong, change = "Wrong username or password.", "Your password must be changed before you can log in."

var refused = map[int]string{1: wrong, 2: wrong, 3: "Your account is locked.", 4: "Your account is disabled.",
	5: "Your account has expired.", 6: change, 7: change, 8: "You may not use this service."}

// One client for all logins: it keeps connections. authsvc closes idle ones after 120 seconds.
var client = &http.Client{
	Timeout:       15 * time.Second, // from the dial to the end of the answer; longer than AUTH_TIMEOUT
	Transport:     &http.Transport{IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 32},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func login(ctx context.Context, username, password string) (code int, message string) {
	username = strings.TrimSpace(username) // the password is never trimmed
	if username == "" || len(username) > 256 || strings.ContainsFunc(username, unicode.IsControl) ||
		password == "" || len(password) > 1024 || strings.Contains(password, "\x00") || !utf8.ValidString(username+password) {
		return 1, wrong
	}
	status, seconds, text, err := ask(ctx, map[string]string{"username": username, "password": password})
	switch {
	case err != nil || status == -1: // no connection, no answer in time, or one that is not authsvc's
		log.Printf("authsvc: %v %.300q", err, text)
		return 2, fmt.Sprintf("Login is not possible at the moment. Try again in %d seconds.", seconds)
	case status == 11, status == 12, status == 13:
		return 2, fmt.Sprintf("Login is not possible at the moment. Try again in %d seconds.", seconds)
	case status == 9:
		return 2, fmt.Sprintf("Too many attempts. Try again in %d seconds.", seconds)
	case status == 0:
		return 0, "Welcome."
	case refused[status] != "":
		return 1, refused[status]
	}
	log.Printf("authsvc: %s", text) // with the request ID
	return 3, "Login is out of order."
}

func ask(ctx context.Context, question any) (status, seconds int, text []byte, err error) {
	body, _ := json.Marshal(question) // strings alone
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv("AUTHSVC_URL")+"/auth", bytes.NewReader(body))
	if err != nil {
		return -1, 30, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+os.Getenv("AUTHSVC_KEY"))
	resp, err := client.Do(req)
	if err != nil {
		return -1, 30, nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	answer := struct{ Status int }{-1} // not 0, which lets in
	err = cmp.Or(err, json.Unmarshal(text, &answer))
	seconds, _ = strconv.Atoi(resp.Header.Get("Retry-After"))
	return answer.Status, cmp.Or(seconds, 30), text, err
}

func main() {
	password, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	code, message := login(context.Background(), os.Args[1], strings.TrimSuffix(password, "\n"))
	fmt.Println(message)
	os.Exit(code)
}
