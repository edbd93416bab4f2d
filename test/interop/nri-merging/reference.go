package merging

import (
	"context"

	nri "github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/adaptation/builtin"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/log"
	"google.golang.org/protobuf/proto"
)

type silent struct{}

func (silent) Debugf(context.Context, string, ...any) {}
func (silent) Infof(context.Context, string, ...any)  {}
func (silent) Warnf(context.Context, string, ...any)  {}
func (silent) Errorf(context.Context, string, ...any) {}

func init() { log.Set(silent{}) }

// start gives a runtime whose plugins are functions in this process; folder has no plugins.
func start(folder string, plugins []*builtin.BuiltinPlugin) (*nri.Adaptation, error) {
	runtime, err := nri.New("reference", "1", func(ctx context.Context, synchronize nri.SyncCB) error {
		_, err := synchronize(ctx, nil, nil)
		return err
	}, func(context.Context, []*nri.ContainerUpdate) ([]*nri.ContainerUpdate, error) {
		return nil, nil
	}, nri.WithPluginPath(folder), nri.WithPluginConfigPath(folder), nri.WithDisabledExternalConnections(), nri.WithBuiltinPlugins(plugins...))
	if err != nil {
		return nil, err
	}
	return runtime, runtime.Start()
}

func pluginOf(a *answer) *builtin.BuiltinPlugin {
	return &builtin.BuiltinPlugin{
		Index: a.plugin[:2],
		Base:  a.plugin[3:],
		Handlers: builtin.BuiltinHandlers{
			CreateContainer: func(context.Context, *api.CreateContainerRequest) (*api.CreateContainerResponse, error) {
				r := &api.CreateContainerResponse{Adjust: a.adjust, Update: a.update}
				return proto.Clone(r).(*api.CreateContainerResponse), nil
			},
			UpdateContainer: func(context.Context, *api.UpdateContainerRequest) (*api.UpdateContainerResponse, error) {
				r := &api.UpdateContainerResponse{Update: a.update}
				return proto.Clone(r).(*api.UpdateContainerResponse), nil
			},
		},
	}
}

// outcome is what a runtime makes of a case's answers.
type outcome struct {
	adjust  *api.ContainerAdjustment
	updates []*api.ContainerUpdate
	owners  *api.OwningPlugins
	seen    *api.Container
	// resources are those of the container that the request was about.
	resources *api.LinuxResources
}

func create(folder string, answers []*answer) (*outcome, error) {
	got := &outcome{}
	plugins := []*builtin.BuiltinPlugin{{Index: "00", Base: "owners", Handlers: builtin.BuiltinHandlers{
		ValidateContainerAdjustment: func(_ context.Context, r *api.ValidateContainerAdjustmentRequest) error {
			got.owners = proto.Clone(r.Owners).(*api.OwningPlugins)
			return nil
		},
	}}}
	for _, a := range answers {
		plugins = append(plugins, pluginOf(a))
	}
	runtime, err := start(folder, plugins)
	if err != nil {
		return nil, err
	}
	defer runtime.Stop()
	request := &api.CreateContainerRequest{Container: container()}
	reply, err := runtime.CreateContainer(context.Background(), request)
	if err != nil {
		return nil, err
	}
	got.adjust, got.updates, got.seen = reply.Adjust, reply.Update, request.Container
	return got, nil
}

func update(folder string, asked *api.LinuxResources, answers []*answer) (*outcome, error) {
	var plugins []*builtin.BuiltinPlugin
	for _, a := range answers {
		plugins = append(plugins, pluginOf(a))
	}
	runtime, err := start(folder, plugins)
	if err != nil {
		return nil, err
	}
	defer runtime.Stop()
	request := &api.UpdateContainerRequest{
		Container:      &api.Container{Id: "c"},
		LinuxResources: proto.Clone(asked).(*api.LinuxResources),
	}
	reply, err := runtime.UpdateContainer(context.Background(), request)
	if err != nil {
		return nil, err
	}
	got := &outcome{resources: request.LinuxResources}
	for _, u := range reply.Update {
		if u.GetContainerId() != "c" && u != nil {
			got.updates = append(got.updates, u)
		}
	}
	return got, nil
}
