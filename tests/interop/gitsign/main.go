// SPDX-License-Identifier: Apache-2.0

// A SPIFFE agent for tests: the Workload API on a Unix socket, of which it answers FetchJWTSVID, with the token in a file. Whoever
// can connect is the workload; an agent of the world asks the kernel who that is.
//
//	agent SOCKET FILE
//
// It prints the socket's path when it listens.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"strings"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	file string
}

// FetchJWTSVID answers whoever shows the header that keeps forged requests away (SPIFFE Workload API, section 4).
func (a *agent) FetchJWTSVID(ctx context.Context, request *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	if shown := headers.Get("workload.spiffe.io"); len(shown) != 1 || shown[0] != "true" {
		return nil, status.Error(codes.InvalidArgument, "the security header is missing")
	}
	lines, err := os.ReadFile(a.file)
	if err != nil {
		return nil, status.Error(codes.PermissionDenied, "no identity issued")
	}
	name, token, _ := strings.Cut(strings.TrimSpace(string(lines)), "\n")
	fmt.Println("asked for", strings.Join(request.Audience, " "))
	svid := &workload.JWTSVID{SpiffeId: name, Svid: token}
	return &workload.JWTSVIDResponse{Svids: []*workload.JWTSVID{svid}}, nil
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: agent SOCKET FILE")
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(os.Args[1])
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, &agent{file: os.Args[2]})
	log.Fatal(server.Serve(listener))
}
