package streaming

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between client and server, so that a test can take the client away with a reset, as
// when its machine or process dies.
type proxy struct {
	address string
	mutex   sync.Mutex
	conns   []*net.TCPConn
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	p := &proxy{address: listener.Addr().String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			p.mutex.Lock()
			p.conns = append(p.conns, client.(*net.TCPConn), server.(*net.TCPConn))
			p.mutex.Unlock()
			for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
				go func() {
					io.Copy(pair[0], pair[1])
					pair[0].(*net.TCPConn).CloseWrite()
				}()
			}
		}
	}()
	return p
}

func (p *proxy) waitConnected(t testing.TB) {
	t.Helper()
	eventually(t, 10*time.Second, "the client connects", func() bool {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		return len(p.conns) > 0
	})
}

// cut resets both sides of every connection.
func (p *proxy) cut() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, conn := range p.conns {
		conn.SetLinger(0)
		conn.Close()
	}
	p.conns = nil
}
