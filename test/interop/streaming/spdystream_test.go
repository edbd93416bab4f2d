package streaming

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/spdystream"
)

func spdyConnection(t testing.TB) *spdystream.Connection {
	t.Helper()
	s := startServer(t, "serve-spdy.ts")
	conn, err := net.Dial("tcp", s.control)
	must(t, err)
	connection, err := spdystream.NewConnection(conn, false)
	must(t, err)
	go connection.Serve(func(stream *spdystream.Stream) { stream.Reset() })
	t.Cleanup(func() { conn.Close() })
	return connection
}

func openStream(t testing.TB, connection *spdystream.Connection, headers http.Header) *spdystream.Stream {
	t.Helper()
	stream, err := connection.CreateStream(headers, nil, false)
	must(t, err)
	must(t, stream.WaitTimeout(10*time.Second))
	return stream
}

func TestSpdystreamEcho(t *testing.T) {
	t.Parallel()
	connection := spdyConnection(t)
	var group sync.WaitGroup
	for i := range 50 {
		stream := openStream(t, connection, http.Header{"Streamtype": {"data"}, "Requestid": {fmt.Sprint(i)}})
		text := make([]byte, 300_000+i)
		rand.New(rand.NewSource(int64(i))).Read(text)
		group.Add(1)
		go func() {
			defer group.Done()
			go func() {
				for rest := text; len(rest) > 0; {
					n := min(len(rest), 1+rand.Intn(70_000))
					stream.Write(rest[:n])
					rest = rest[n:]
				}
				stream.Close()
			}()
			got, err := io.ReadAll(stream)
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("stream %d: %v, %d of %d bytes", i, err, len(got), len(text))
			}
		}()
	}
	group.Wait()
}

func TestSpdystreamLargestFrame(t *testing.T) {
	t.Parallel()
	connection := spdyConnection(t)
	// A frame's length has three bytes.
	for _, length := range []int{megabyte, 1<<24 - 1} {
		stream := openStream(t, connection, http.Header{})
		text := bytes.Repeat([]byte("x"), length)
		go stream.WriteData(text, true)
		got, err := io.ReadAll(stream)
		must(t, err)
		if !bytes.Equal(got, text) {
			t.Fatalf("%d of %d bytes", len(got), length)
		}
	}
}

func TestSpdystreamPing(t *testing.T) {
	t.Parallel()
	connection := spdyConnection(t)
	for range 20 {
		_, err := connection.Ping()
		must(t, err)
	}
}

func TestSpdystreamHeaders(t *testing.T) {
	t.Parallel()
	connection := spdyConnection(t)
	for i := range 30 {
		headers := http.Header{"x-do": {"headers"}, "x-long": {strings.Repeat(fmt.Sprint(i), 1000)}, "x-two": {"a", "b"}}
		stream := openStream(t, connection, headers)
		text, err := io.ReadAll(stream)
		must(t, err)
		var pairs [][2]string
		must(t, json.Unmarshal(text, &pairs))
		got := map[string]string{}
		for _, pair := range pairs {
			got[pair[0]] = pair[1]
		}
		if got["x-long"] != headers["x-long"][0] || got["x-two"] != "a\x00b" || len(got) != 3 {
			t.Fatalf("headers %q", got)
		}
		stream.Close()
	}
}

func TestSpdystreamResetAndRefuse(t *testing.T) {
	t.Parallel()
	connection := spdyConnection(t)
	good := openStream(t, connection, http.Header{})
	ping := func() {
		t.Helper()
		good.Write([]byte("ping"))
		reply := make([]byte, 4)
		if _, err := io.ReadFull(good, reply); err != nil || string(reply) != "ping" {
			t.Fatalf("%v %q", err, reply)
		}
	}
	for range 500 {
		stream := openStream(t, connection, http.Header{})
		stream.Write(make([]byte, 1000))
		stream.Reset()
	}
	ping()
	refused, err := connection.CreateStream(http.Header{"x-do": {"refuse"}}, nil, false)
	must(t, err)
	refused.WaitTimeout(30 * time.Second)
	if rest, err := io.ReadAll(refused); err != nil || len(rest) > 0 {
		t.Fatalf("%v %q", err, rest)
	}
	ping()
	open := []*spdystream.Stream{}
	for len(open) < 255 {
		open = append(open, openStream(t, connection, http.Header{}))
	}
	for range 20 {
		stream, err := connection.CreateStream(http.Header{}, nil, false)
		must(t, err)
		if err := stream.WaitTimeout(30 * time.Second); !errors.Is(err, spdystream.ErrReset) {
			t.Fatalf("stream over the limit: %v", err)
		}
	}
	ping()
	for _, stream := range open {
		stream.Reset()
	}
	openStream(t, connection, http.Header{}).Reset()
	ping()
}

func TestSpdystreamClosedByServer(t *testing.T) {
	t.Parallel()
	connection := spdyConnection(t)
	stream, err := connection.CreateStream(http.Header{"x-do": {"close"}}, nil, true)
	must(t, err)
	must(t, stream.WaitTimeout(30*time.Second))
	select {
	case <-connection.CloseChan():
	case <-time.After(30 * time.Second):
		t.Fatal("no GOAWAY")
	}
	must(t, connection.Wait(30*time.Second))
}

func TestSpdystreamClosedByClient(t *testing.T) {
	t.Parallel()
	connection := spdyConnection(t)
	stream := openStream(t, connection, http.Header{})
	stream.Close()
	io.ReadAll(stream)
	must(t, connection.Close())
	must(t, connection.Wait(30*time.Second))
}
