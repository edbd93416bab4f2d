package lifecycle

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What no runtime can do without. All others may answer UNIMPLEMENTED, but nothing else in its place.
var required = map[string]bool{
	"Version": true, "Status": true, "RuntimeConfig": true, "UpdateRuntimeConfig": true,
	"RunPodSandbox": true, "StopPodSandbox": true, "RemovePodSandbox": true, "PodSandboxStatus": true, "ListPodSandbox": true,
	"CreateContainer": true, "StartContainer": true, "StopContainer": true, "RemoveContainer": true, "ListContainers": true,
	"ContainerStatus": true, "UpdateContainerResources": true, "UpdatePodSandboxResources": true, "ReopenContainerLog": true,
	"ExecSync": true, "ListImages": true, "ImageStatus": true, "PullImage": true, "RemoveImage": true, "ImageFsInfo": true,
}

// Every RPC is called with an empty request: it answers, refuses, or says that it is not there. None hangs or breaks.
func TestEveryRPCAnswers(t *testing.T) {
	n := connect(t)
	services := cri.File_staging_src_k8s_io_cri_api_pkg_apis_runtime_v1_api_proto.Services()
	var missing []string
	for i := range services.Len() {
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			method := methods.Get(j)
			t.Run(string(method.Name()), func(t *testing.T) {
				err := callEmpty(t, n.conn, method)
				switch code := status.Code(err); code {
				case codes.Unimplemented:
					if required[string(method.Name())] {
						t.Errorf("has to be there: %v", err)
					}
					missing = append(missing, string(method.Name()))
				case codes.Internal, codes.Unavailable, codes.DataLoss, codes.Canceled, codes.DeadlineExceeded:
					t.Errorf("an empty request is answered or refused, got %v", err)
				}
			})
		}
	}
	t.Logf("not there: %q", missing)
}

func callEmpty(t *testing.T, conn *grpc.ClientConn, method protoreflect.MethodDescriptor) error {
	t.Helper()
	ctx, cancel := timeLimited(t)
	defer cancel()
	name := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
	request, reply := emptyMessage(t, method.Input()), emptyMessage(t, method.Output())
	if !method.IsStreamingServer() {
		return conn.Invoke(ctx, name, request, reply)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if method.Name() == "GetContainerEvents" {
		// Without end and, on a quiet node, without a first message: being open for a while is its answer.
		return openForAWhile(stream, reply)
	}
	return untilEnd(stream, reply)
}

func emptyMessage(t *testing.T, descriptor protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

func TestAnUnknownMethodIsUnimplemented(t *testing.T) {
	n := connect(t)
	for _, name := range []string{"/runtime.v1.RuntimeService/NoSuchThing", "/runtime.v1alpha2.RuntimeService/Version", "/no.such.Service/Call"} {
		ctx, cancel := timeLimited(t)
		err := n.conn.Invoke(ctx, name, &cri.VersionRequest{}, &cri.VersionResponse{})
		cancel()
		wantCode(t, name, err, codes.Unimplemented)
	}
}
