package demo

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClose_EndsEveryConnectionAtOnce(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	idle, bound := dialRaw(t, d), connectAsService(t, d.URL())
	began := time.Now()
	require.NoError(t, d.Close())
	assert.Less(t, time.Since(began), patience/10, "it waited for its clients")
	_, err := idle.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = bound.Search(below(BaseDN, "(uid=bob)"))
	require.Error(t, err)
	assert.NoError(t, d.Close(), "closed twice")
}

func TestClose_CutsAClientThatReadsNothing(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	client := dialRaw(t, d)
	require.NoError(t, client.SetReadBuffer(1))
	search := searchRequestBytes(t, BaseDN)
	_, err := client.Write(bindRequestBytes(t, ServiceDN, ServicePassword))
	require.NoError(t, err)
	// Ask until nobody takes the questions any more: every buffer is full.
	require.NoError(t, client.SetWriteDeadline(time.Now().Add(time.Second)))
	for err == nil {
		_, err = client.Write(search)
	}
	began := time.Now()
	require.NoError(t, d.Close())
	assert.Less(t, time.Since(began), patience/10)
}

func TestClose_LeavesNothingWhileClientsComeAndGo(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	var clients sync.WaitGroup
	answered := make(chan struct{}, 1)
	for range 4 {
		clients.Go(func() {
			for {
				conn, err := ldap.DialURL(d.URL())
				if err != nil {
					return
				}
				if err := conn.Bind(ServiceDN, ServicePassword); err == nil {
					select {
					case answered <- struct{}{}:
					default:
					}
				}
				_ = conn.Close()
			}
		})
	}
	<-answered
	require.NoError(t, d.Close())
	clients.Wait()
}

func TestListen_AddressIsTheRequestedOneAndFreeAfterClose(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	addr := strings.TrimPrefix(d.URL(), "ldap://")
	_, err := Start(Config{Addr: addr})
	require.ErrorContains(t, err, "address already in use")
	require.NoError(t, d.Close())
	again := start(t, Config{Addr: addr})
	assert.Equal(t, "ldap://"+addr, again.URL())
	connectAsService(t, again.URL())
}

func TestListen_URLIsReachableOnThisHost(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"", ":0", "0.0.0.0:0", "127.0.0.1:0", "localhost:0"} {
		d := start(t, Config{Addr: addr})
		assert.Regexp(t, `^ldap://127\.0\.0\.1:[1-9][0-9]*$`, d.URL(), addr)
		connectAsService(t, d.URL())
	}
}

func TestConfig_RejectsWhatCannotWork(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"CutIdle is -1s":       {CutIdle: -time.Second},
		"missing port":         {Addr: "127.0.0.1"},
		"address 99999: inval": {Addr: "127.0.0.1:99999"},
	} {
		_, err := Start(cfg)
		assert.ErrorContains(t, err, want)
	}
}

func TestUsers_IsACopy(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	d.Users()[0].Username = "changed"
	assert.Equal(t, "alice", d.Users()[0].Username)
}

func TestConn_HalfClosedClientGetsItsAnswers(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	client := dialRaw(t, d)
	_, err := client.Write(bindRequestBytes(t, ServiceDN, ServicePassword))
	require.NoError(t, err)
	require.NoError(t, client.CloseWrite())
	answer, err := io.ReadAll(client)
	require.NoError(t, err)
	assert.Len(t, answer, 14, "one bind response")
}

func TestConn_UnbindDisconnects(t *testing.T) {
	t.Parallel()
	client := dialRaw(t, start(t, Config{}))
	_, err := client.Write([]byte("\x30\x05\x02\x01\x01\x42\x00")) // UnbindRequest
	require.NoError(t, err)
	_, err = client.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}
