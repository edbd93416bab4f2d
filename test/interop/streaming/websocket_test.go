//go:build !without_websocket

package streaming

import (
	"net/url"
	"testing"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
)

// client-go speaks WebSocket from 1.29 on.
func init() {
	executors["websocket"] = func(t testing.TB, url *url.URL) remotecommand.Executor {
		executor, err := remotecommand.NewWebSocketExecutor(clientConfig, "GET", url.String())
		must(t, err)
		return executor
	}
	webSocketExecutor = func(url *url.URL, protocol string) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutorForProtocols(clientConfig, "GET", url.String(), protocol)
	}
	dialers["tunnel"] = func(t testing.TB, url *url.URL) httpstream.Dialer {
		dialer, err := portforward.NewSPDYOverWebsocketDialer(url, clientConfig)
		must(t, err)
		return dialer
	}
}
