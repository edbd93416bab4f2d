package lifecycle

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	internalapi "k8s.io/cri-api/pkg/apis"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	criclient "k8s.io/cri-client/pkg"
)

// node is the runtime under test: through the kubelet's client, and by bare gRPC where that client hides the answer's code.
type node struct {
	runtime internalapi.RuntimeService
	images  internalapi.ImageManagerService
	conn    *grpc.ClientConn
	raw     cri.RuntimeServiceClient
}

func endpoint(t *testing.T) string {
	t.Helper()
	address := os.Getenv("DOCKLINE_ENDPOINT")
	if address == "" {
		t.Fatal("DOCKLINE_ENDPOINT names no CRI socket (scripts/test-interop starts a runtime and sets it)")
	}
	return address
}

func connect(t *testing.T) *node {
	return connectWith(t, false)
}

func connectWith(t *testing.T, streamingLists bool) *node {
	t.Helper()
	address := endpoint(t)
	runtime, err := criclient.NewRemoteRuntimeServiceBuilder().WithEndpoint(address).
		WithConnectionTimeout(30 * time.Second).WithUseStreaming(streamingLists).Build(t.Context())
	if err != nil {
		t.Fatalf("runtime service: %v", err)
	}
	images, err := criclient.NewRemoteImageServiceBuilder().WithEndpoint(address).
		WithConnectionTimeout(30 * time.Second).WithUseStreaming(streamingLists).Build(t.Context())
	if err != nil {
		t.Fatalf("image service: %v", err)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = runtime.Close(context.Background())
		_ = images.Close(context.Background())
		_ = conn.Close()
	})
	return &node{runtime: runtime, images: images, conn: conn, raw: cri.NewRuntimeServiceClient(conn)}
}

func image() string {
	if name := os.Getenv("DOCKLINE_TEST_IMAGE"); name != "" {
		return name
	}
	return "busybox:test"
}

// podConfig is a pod as the kubelet describes it. Everything that may be odd about labels is in there.
func podConfig(t *testing.T, network cri.NamespaceMode) *cri.PodSandboxConfig {
	t.Helper()
	name := "p" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: fmt.Sprintf("uid-%d", time.Now().UnixNano()), Namespace: "interop", Attempt: 1},
		LogDirectory: t.TempDir(),
		Labels: map[string]string{"io.kubernetes.pod.name": name, "app.kubernetes.io/part-of": "interop", "empty": "",
			"__proto__": "polluted"},
		Annotations: map[string]string{"note/with.dots": "line one\nline two \"quoted\" ü", "__proto__": "{}"},
		DnsConfig:   &cri.DNSConfig{Servers: []string{"192.0.2.53"}, Searches: []string{"interop.example"}, Options: []string{"ndots:3"}},
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: network, Pid: cri.NamespaceMode_CONTAINER, Ipc: cri.NamespaceMode_POD},
		}},
	}
	if network == cri.NamespaceMode_POD {
		config.Hostname = "interop-host"
	}
	return config
}

func containerConfig(name string, pod *cri.PodSandboxConfig, command ...string) *cri.ContainerConfig {
	return &cri.ContainerConfig{
		Metadata:    &cri.ContainerMetadata{Name: name, Attempt: 2},
		Image:       &cri.ImageSpec{Image: image(), UserSpecifiedImage: image()},
		Command:     command,
		WorkingDir:  "/tmp",
		Envs:        []*cri.KeyValue{{Key: "GREETING", Value: []byte("hello world=ü")}},
		Labels:      map[string]string{"io.kubernetes.container.name": name, "__proto__": "c"},
		Annotations: map[string]string{"io.kubernetes.container.hash": "abc"},
		LogPath:     name + "/2.log",
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: pod.GetLinux().GetSecurityContext().GetNamespaceOptions(),
				MaskedPaths:      []string{"/proc/kcore"},
				ReadonlyPaths:    []string{"/proc/sys"},
			},
		},
	}
}

// runPod makes a pod and sees to its end, whatever the test does.
func (n *node) runPod(t *testing.T, config *cri.PodSandboxConfig) string {
	t.Helper()
	id, err := n.runtime.RunPodSandbox(t.Context(), config, "")
	if err != nil {
		t.Fatalf("RunPodSandbox: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.runtime.StopPodSandbox(ctx, id); err != nil {
			t.Errorf("StopPodSandbox while clearing up: %v", err)
		}
		if err := n.runtime.RemovePodSandbox(ctx, id); err != nil {
			t.Errorf("RemovePodSandbox while clearing up: %v", err)
		}
	})
	return id
}

// startContainer makes and starts a container; its pod takes it away.
func (n *node) startContainer(t *testing.T, podID string, config *cri.ContainerConfig, pod *cri.PodSandboxConfig) string {
	t.Helper()
	// The kubelet makes the folder of the log, not the runtime.
	if err := os.MkdirAll(pod.GetLogDirectory()+"/"+config.GetMetadata().GetName(), 0o755); err != nil {
		t.Fatal(err)
	}
	id, err := n.runtime.CreateContainer(t.Context(), podID, config, pod)
	if err != nil {
		t.Fatalf("CreateContainer: %v", err)
	}
	if err := n.runtime.StartContainer(t.Context(), id); err != nil {
		t.Fatalf("StartContainer: %v", err)
	}
	return id
}

func (n *node) containerStatus(t *testing.T, id string) *cri.ContainerStatus {
	t.Helper()
	answer, err := n.runtime.ContainerStatus(t.Context(), id, false)
	if err != nil {
		t.Fatalf("ContainerStatus: %v", err)
	}
	return answer.GetStatus()
}

// waitExited waits for the end of a container's process.
func (n *node) waitExited(t *testing.T, id string) *cri.ContainerStatus {
	t.Helper()
	var last *cri.ContainerStatus
	eventually(t, 30*time.Second, "the container exits", func() bool {
		last = n.containerStatus(t, id)
		return last.GetState() == cri.ContainerState_CONTAINER_EXITED
	})
	return last
}

func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

func wantCode(t *testing.T, what string, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("%s: expected %s, got %v", what, code, err)
	}
}

func unimplemented(err error) bool { return status.Code(err) == codes.Unimplemented }
