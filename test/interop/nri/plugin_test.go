// Package nri runs plugins that are made with NRI's own Go library against Dockline.
package nri

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// plugin notes what it hears and answers as the test says.
type plugin struct {
	mu     sync.Mutex
	heard  []string
	synced chan []*api.Container
	create func(*api.PodSandbox, *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error)
	run    func() error
	stub   stub.Stub
	closed chan struct{}
}

func (p *plugin) note(event string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, event)
}

func (p *plugin) events() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.heard, " ")
}

func (p *plugin) Synchronize(_ context.Context, _ []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	p.synced <- containers
	return nil, nil
}

func (p *plugin) RunPodSandbox(context.Context, *api.PodSandbox) error {
	p.note("run")
	if p.run != nil {
		return p.run()
	}
	return nil
}

func (p *plugin) StopPodSandbox(context.Context, *api.PodSandbox) error {
	p.note("stop-pod")
	return nil
}

func (p *plugin) RemovePodSandbox(context.Context, *api.PodSandbox) error {
	p.note("remove-pod")
	return nil
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	p.note("create " + container.GetName())
	if p.create != nil {
		return p.create(pod, container)
	}
	return nil, nil, nil
}

func (p *plugin) StartContainer(_ context.Context, _ *api.PodSandbox, container *api.Container) error {
	p.note("start " + container.GetName())
	return nil
}

func (p *plugin) StopContainer(_ context.Context, _ *api.PodSandbox, container *api.Container) ([]*api.ContainerUpdate, error) {
	p.note("stop " + container.GetName())
	return nil, nil
}

func (p *plugin) RemoveContainer(_ context.Context, _ *api.PodSandbox, container *api.Container) error {
	p.note("remove " + container.GetName())
	return nil
}

// connect joins and waits until it has been synchronized.
func connect(t *testing.T, name string, p *plugin) *plugin {
	t.Helper()
	p.synced = make(chan []*api.Container, 1)
	p.closed = make(chan struct{})
	var once sync.Once
	made, err := stub.New(p, stub.WithPluginName(name), stub.WithPluginIdx("10"), stub.WithSocketPath(os.Getenv("DOCKLINE_NRI_SOCKET")),
		stub.WithOnClose(func() { once.Do(func() { close(p.closed) }) }))
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.stub = made
	t.Cleanup(made.Stop)
	select {
	case containers := <-p.synced:
		p.synced <- containers
	case <-time.After(20 * time.Second):
		t.Fatal("not synchronized within 20 s")
	}
	return p
}

type node struct {
	t       *testing.T
	runtime cri.RuntimeServiceClient
	pod     *cri.PodSandboxConfig
	count   int
}

func newNode(t *testing.T) *node {
	t.Helper()
	connection, err := grpc.NewClient(os.Getenv("DOCKLINE_ENDPOINT"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return &node{t: t, runtime: cri.NewRuntimeServiceClient(connection)}
}

func (n *node) run() (string, error) {
	uid := fmt.Sprintf("%d", time.Now().UnixNano())
	n.pod = &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "nri-" + uid, Namespace: "interop", Uid: uid},
		LogDirectory: filepath.Join(n.t.TempDir(), "pod"),
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER},
		}},
	}
	answer, err := n.runtime.RunPodSandbox(context.Background(), &cri.RunPodSandboxRequest{Config: n.pod})
	return answer.GetPodSandboxId(), err
}

func (n *node) create(pod, name string) (string, error) {
	answer, err := n.runtime.CreateContainer(context.Background(), &cri.CreateContainerRequest{PodSandboxId: pod, SandboxConfig: n.pod, Config: &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name},
		Image:    &cri.ImageSpec{Image: "busybox:test"},
		Command:  []string{"sleep", "600"},
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER},
		}},
	}})
	return answer.GetContainerId(), err
}

func (n *node) must(_ any, err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) remove(pod string) {
	n.t.Helper()
	n.must(n.runtime.StopPodSandbox(context.Background(), &cri.StopPodSandboxRequest{PodSandboxId: pod}))
	n.must(n.runtime.RemovePodSandbox(context.Background(), &cri.RemovePodSandboxRequest{PodSandboxId: pod}))
}

func TestPluginHearsOfALifeAndAdjusts(t *testing.T) {
	n := newNode(t)
	p := connect(t, "adjuster", &plugin{create: func(_ *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
		adjust := &api.ContainerAdjustment{}
		adjust.SetLinuxCPUShares(300)
		return adjust, nil, nil
	}})
	pod, err := n.run()
	n.must(pod, err)
	container, err := n.create(pod, "main")
	n.must(container, err)
	n.must(n.runtime.StartContainer(context.Background(), &cri.StartContainerRequest{ContainerId: container}))
	status, err := n.runtime.ContainerStatus(context.Background(), &cri.ContainerStatusRequest{ContainerId: container})
	n.must(status, err)
	if shares := status.GetStatus().GetResources().GetLinux().GetCpuShares(); shares != 300 {
		t.Errorf("%d CPU shares, want 300", shares)
	}
	update := &api.ContainerUpdate{ContainerId: container}
	update.SetLinuxCPUShares(600)
	if failed, err := p.stub.UpdateContainers([]*api.ContainerUpdate{update}); err != nil || len(failed) > 0 {
		t.Errorf("UpdateContainers: %v, %v", failed, err)
	}
	n.must(n.runtime.StopContainer(context.Background(), &cri.StopContainerRequest{ContainerId: container}))
	n.must(n.runtime.RemoveContainer(context.Background(), &cri.RemoveContainerRequest{ContainerId: container}))
	n.remove(pod)
	if want := "run create main start main stop main remove main stop-pod remove-pod"; p.events() != want {
		t.Errorf("heard %q, want %q", p.events(), want)
	}
}

func TestPluginRefusesAndTheNextAttemptWorks(t *testing.T) {
	n := newNode(t)
	refused := false
	p := connect(t, "refuser", &plugin{create: func(*api.PodSandbox, *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
		if refused {
			return nil, nil, nil
		}
		refused = true
		return nil, nil, errors.New("no such balloon")
	}})
	pod, err := n.run()
	n.must(pod, err)
	if _, err := n.create(pod, "main"); err == nil || !strings.Contains(err.Error(), "NRI plugin 10-refuser: CreateContainer: no such balloon") {
		t.Errorf("the refused create: %v", err)
	}
	n.must(n.create(pod, "main"))
	n.remove(pod)
	if !strings.HasPrefix(p.events(), "run create main stop main remove main create main") {
		t.Errorf("heard %q", p.events())
	}
}

func TestPluginThatHangsIsDroppedAndComesBack(t *testing.T) {
	n := newNode(t)
	release := make(chan struct{})
	p := connect(t, "hangs", &plugin{run: func() error { <-release; return nil }})
	pod, err := n.run()
	n.must(pod, err)
	select {
	case <-p.closed:
	case <-time.After(10 * time.Second):
		t.Fatal("it is still connected")
	}
	close(release)
	container, err := n.create(pod, "main")
	n.must(container, err)
	again := connect(t, "hangs", &plugin{})
	if containers := <-again.synced; len(containers) != 1 || containers[0].GetId() != container {
		t.Errorf("synchronized with %v, want %s", containers, container)
	}
	n.remove(pod)
	if want := "stop main stop-pod remove main remove-pod"; again.events() != want {
		t.Errorf("heard %q, want %q", again.events(), want)
	}
}

// More than the 4096 bytes that a reader takes at once, and than one message of Synchronize holds.
func TestManyContainersAreTold(t *testing.T) {
	n := newNode(t)
	pod, err := n.run()
	n.must(pod, err)
	for i := range 12 {
		n.must(n.create(pod, fmt.Sprintf("c%d", i)))
	}
	p := connect(t, "late", &plugin{})
	if containers := <-p.synced; len(containers) != 12 {
		t.Errorf("told of %d containers, want 12", len(containers))
	}
	n.remove(pod)
}
