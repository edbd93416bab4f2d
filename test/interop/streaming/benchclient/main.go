// benchclient moves bytes through a streaming server, or past it, and prints how long that took:
// bytes, seconds, its own CPU time and, for latencies, milliseconds as JSON. test/bench/streaming.ts runs it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
)

type counter struct{ bytes int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func main() {
	mode, target := os.Args[1], os.Args[2]
	size, port := int64(0), 0
	if len(os.Args) > 3 {
		size = must(strconv.ParseInt(os.Args[3], 10, 64))
	}
	if len(os.Args) > 4 {
		port = must(strconv.Atoi(os.Args[4]))
	}
	out := &counter{}
	started := time.Now()
	result := map[string]any{}
	switch mode {
	case "spdy-out", "websocket-out":
		check(executor(mode, target).StreamWithContext(context.Background(), remotecommand.StreamOptions{Stdout: out}))
	case "spdy-in", "websocket-in":
		check(executor(mode, target).StreamWithContext(context.Background(),
			remotecommand.StreamOptions{Stdin: io.LimitReader(zeros{}, size), Stdout: io.Discard}))
		out.bytes = size
	case "forward-idle", "spdy-idle":
		// Sessions that nobody uses, for size milliseconds.
		for _, url := range strings.Split(target, ",") {
			if mode == "forward-idle" {
				defer dial(url).Close()
				continue
			}
			stdin, _ := io.Pipe()
			go executor(mode, url).StreamWithContext(context.Background(), remotecommand.StreamOptions{Stdin: stdin, Stdout: out})
		}
		time.Sleep(time.Duration(size) * time.Millisecond)
	case "tcp-first":
		times := []float64{}
		for range 300 {
			begin := time.Now()
			conn := must(net.Dial("tcp", target))
			must(io.ReadFull(conn, make([]byte, 1)))
			times = append(times, float64(time.Since(begin).Microseconds())/1000)
			conn.Close()
		}
		percentiles(result, times)
	case "tcp-out":
		conn := must(net.Dial("tcp", target))
		must(io.Copy(out, struct{ io.Reader }{conn}))
	case "tcp-in":
		conn := must(net.Dial("tcp", target)).(*net.TCPConn)
		must(io.Copy(struct{ io.Writer }{conn}, io.LimitReader(zeros{}, size)))
		conn.CloseWrite()
		must(io.ReadAll(conn))
		out.bytes = size
	case "forward-out", "forward-in", "forward-first", "forward-many":
		connection := dial(target)
		// The helper's start is no part of what a warm connection costs.
		data, errors := openPair(connection, port, 0)
		fmt.Fprint(data, "x")
		data.Reset()
		errors.Reset()
		time.Sleep(500 * time.Millisecond)
		started = time.Now()
		switch mode {
		case "forward-out":
			data, _ := openPair(connection, port, 1)
			must(io.Copy(out, data))
		case "forward-in":
			data, _ := openPair(connection, port, 1)
			must(io.Copy(data, struct{ io.Reader }{io.LimitReader(zeros{}, size)}))
			data.Close()
			must(io.ReadAll(data))
			out.bytes = size
		case "forward-many":
			// All of them are open at the same time: each counts from the first one's beginning.
			times := make([]float64, 500)
			var group sync.WaitGroup
			for i := range times {
				group.Add(1)
				go func() {
					defer group.Done()
					data, _ := openPair(connection, port, i+1)
					must(io.ReadFull(data, make([]byte, 1)))
					times[i] = float64(time.Since(started).Microseconds()) / 1000
				}()
			}
			group.Wait()
			percentiles(result, times)
		default:
			times := []float64{}
			for i := range 300 {
				begin := time.Now()
				data, errors := openPair(connection, port, i+1)
				must(io.ReadFull(data, make([]byte, 1)))
				times = append(times, float64(time.Since(begin).Microseconds())/1000)
				data.Reset()
				errors.Reset()
			}
			percentiles(result, times)
		}
	default:
		panic(mode)
	}
	result["bytes"], result["seconds"] = out.bytes, time.Since(started).Seconds()
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	result["clientCpuMs"] = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
	check(json.NewEncoder(os.Stdout).Encode(result))
}

func percentiles(result map[string]any, times []float64) {
	sort.Float64s(times)
	result["p50Ms"], result["p99Ms"] = times[len(times)/2], times[len(times)*99/100]
}

func executor(mode, target string) remotecommand.Executor {
	if mode[0] == 'w' {
		return must(remotecommand.NewWebSocketExecutor(&rest.Config{}, "GET", target))
	}
	return must(remotecommand.NewSPDYExecutor(&rest.Config{}, "POST", must(url.Parse(target))))
}

func dial(target string) httpstream.Connection {
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	check(err)
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", must(url.Parse(target)))
	connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	check(err)
	return connection
}

func openPair(connection httpstream.Connection, port, request int) (data, errors httpstream.Stream) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(request))
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	errors = must(connection.CreateStream(headers))
	errors.Close()
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	return must(connection.CreateStream(headers)), errors
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}
