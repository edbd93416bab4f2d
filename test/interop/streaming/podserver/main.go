// podserver is what the port-forward tests talk to inside a pod's network namespace. Arguments are
// behaviour=address pairs; it prints "ready" when all listen.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

func main() {
	behaviours := map[string]func(*net.TCPConn){
		// Sends back what comes and ends when the client ends.
		"echo": func(c *net.TCPConn) { io.Copy(c, c); c.CloseWrite() },
		// Answers only after the client's half-close.
		"sum": func(c *net.TCPConn) {
			hash := sha256.New()
			io.Copy(hash, c)
			fmt.Fprint(c, hex.EncodeToString(hash.Sum(nil)))
		},
		// End their own direction first and then still take what comes.
		"source": func(c *net.TCPConn) { say(c, 96) },
		"some":   func(c *net.TCPConn) { say(c, 16) },
		// Speaks first.
		"banner": func(c *net.TCPConn) { fmt.Fprint(c, "hello\n"); io.Copy(io.Discard, c) },
		// Ends the connection as HTTP/1.0 does.
		"bye":   func(c *net.TCPConn) { fmt.Fprint(c, "bye") },
		"reset": func(c *net.TCPConn) { c.SetLinger(0) },
		// Takes the connection and never reads.
		"stall": func(c *net.TCPConn) { select {} },
	}
	for _, argument := range os.Args[1:] {
		name, address, _ := strings.Cut(argument, "=")
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					os.Exit(1)
				}
				go func() {
					defer conn.Close()
					behaviours[name](conn.(*net.TCPConn))
				}()
			}
		}()
	}
	fmt.Println("ready")
	select {}
}

func say(c *net.TCPConn, megabytes int) {
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i)
	}
	for range megabytes {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
	c.CloseWrite()
	io.Copy(io.Discard, c)
}
