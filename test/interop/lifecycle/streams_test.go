package lifecycle

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

func timeLimited(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 20*time.Second)
}

// untilEnd reads a stream to its end, which is no error.
func untilEnd(stream grpc.ClientStream, message proto.Message) error {
	for {
		switch err := stream.RecvMsg(message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// openForAWhile gives the error that ends the stream within a second, or none.
func openForAWhile(stream grpc.ClientStream, message proto.Message) error {
	ended := make(chan error, 1)
	go func() { ended <- untilEnd(stream, message) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(time.Second):
		return nil
	}
}
