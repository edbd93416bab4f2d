package streaming

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	apiproxy "k8s.io/apimachinery/pkg/util/proxy"
)

// Go's own WebSocket client, which Kubernetes' conformance tests use. It sends an Origin with every request.
func TestWebSocketOfGo(t *testing.T) {
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	for _, protocols := range [][]string{{"v4.channel.k8s.io"}, {"channel.k8s.io"}, {"base64.channel.k8s.io"}, {"x", "v4.base64.channel.k8s.io"}, nil} {
		for where, through := range map[string]func(*url.URL) *url.URL{
			"direct": func(url *url.URL) *url.URL { return url },
			"proxy":  func(url *url.URL) *url.URL { return throughKubelet(t, url) },
		} {
			target := through(s.url("/exec", execRequest{ContainerID: id, Stdout: true, Stderr: true, Cmd: []string{"echo", "remote execution test"}}))
			config, err := websocket.NewConfig("ws://"+target.Host+target.RequestURI(), "http://localhost")
			must(t, err)
			config.Protocol = protocols
			conn, err := websocket.DialConfig(config)
			if err != nil {
				t.Fatalf("%s, %v: %v", where, protocols, err)
			}
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			var text []byte
			for err == nil {
				var message []byte
				if err = websocket.Message.Receive(conn, &message); err != nil || len(message) < 1 {
					continue
				}
				if message[0] == 1 || message[0] == '1' {
					text = append(text, message[1:]...)
				}
			}
			if want := "remote execution test\n"; string(text) != want && string(text) != "cmVtb3RlIGV4ZWN1dGlvbiB0ZXN0Cg==" {
				t.Errorf("%s, %v: %q, then %v", where, protocols, text, err)
			}
			conn.Close()
		}
	}
	s.waitIdle(5 * time.Second)
}

// A terminal in a web page: it types, resizes, half-closes where the protocol can, and says what it saw.
const terminalPage = `<!doctype html><meta charset="utf-8"><script>
const results = {};
function session(path, protocol) {
  return new Promise((resolve) => {
    const seen = { protocol: "", text: "", status: "" };
    const ws = new WebSocket("ws://" + location.host + path, [protocol]);
    ws.binaryType = "arraybuffer";
    const send = (channel, text) => ws.send(new Uint8Array([channel, ...new TextEncoder().encode(text)]));
    ws.onopen = () => { seen.protocol = ws.protocol; send(4, '{"Width":97,"Height":31}'); };
    let step = 0;
    ws.onmessage = ({ data }) => {
      const bytes = new Uint8Array(data);
      const text = new TextDecoder().decode(bytes.subarray(1));
      if (bytes[0] === 3) { seen.status += text; return; }
      if (bytes[0] !== 1) return;
      seen.text += text;
      if (step === 0 && seen.text.includes("# ")) { step = 1; setTimeout(() => send(0, "stty size; echo caf\u00e9 | cat\r"), 500); }
      else if (step === 1 && seen.text.includes("caf\u00e9\r\n")) { step = 2; send(0, "exit 5\r"); }
    };
    ws.onclose = ({ code }) => { seen.code = code; resolve(seen); };
    ws.onerror = () => { seen.error = true; };
  });
}
(async () => {
  for (const protocol of ["v4.channel.k8s.io", "v5.channel.k8s.io"]) {
    const path = await (await fetch("/session", { method: "POST" })).text();
    results[protocol] = await session(path, protocol);
  }
  await fetch("/results", { method: "POST", body: JSON.stringify(results) });
})();
</script>`

func TestBrowser(t *testing.T) {
	s := startServer(t, "serve.ts")
	id := container(t, nil, "sleep", "1000")
	results := make(chan []byte, 1)
	origins := make(chan string, 2)
	pages := http.NewServeMux()
	pages.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, terminalPage) })
	pages.HandleFunc("/session", func(w http.ResponseWriter, r *http.Request) {
		target := s.url("/exec", execRequest{ContainerID: id, TTY: true, Stdin: true, Stdout: true, Cmd: []string{"sh"}})
		// As an API server: another path for the client, its headers for the node.
		path := "/api/v1/namespaces/n/pods/p" + target.Path
		pages.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			origins <- r.Header.Get("Origin")
			apiproxy.NewUpgradeAwareHandler(target, nil, false, true, proxyErrors{t}).ServeHTTP(w, r)
		})
		fmt.Fprint(w, path)
	})
	pages.HandleFunc("/results", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		results <- body
	})
	site := httptest.NewServer(pages)
	defer site.Close()
	// Its helpers write on for a moment after its end, which t.TempDir takes for a failure.
	profile, err := os.MkdirTemp("", "dockline-browser-")
	must(t, err)
	defer func() {
		for tries := 0; tries < 50 && os.RemoveAll(profile) != nil; tries++ {
			time.Sleep(100 * time.Millisecond)
		}
	}()
	browser := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-dev-shm-usage", "--user-data-dir="+profile, "--remote-debugging-port=0", site.URL)
	must(t, browser.Start())
	defer func() { browser.Process.Kill(); browser.Wait() }()
	var body []byte
	select {
	case body = <-results:
	case <-time.After(90 * time.Second):
		t.Fatal("the page has not said what it saw")
	}
	var seen map[string]struct {
		Protocol, Text, Status string
		Code                   int
		Error                  bool
	}
	must(t, json.Unmarshal(body, &seen))
	for protocol, got := range seen {
		if got.Protocol != protocol || got.Error || got.Code != 1000 || !strings.Contains(got.Text, "31 97") || !strings.Contains(got.Status, `"5"`) {
			t.Errorf("%s: %+v", protocol, got)
		}
		if origin := <-origins; origin != site.URL {
			t.Errorf("%s: the page's Origin was %q", protocol, origin)
		}
	}
	if len(seen) != 2 {
		t.Errorf("%s", body)
	}
	s.waitIdle(5 * time.Second)
}
