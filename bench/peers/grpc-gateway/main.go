// grpc-gateway as in its documentation: its generated reverse proxy in front of the backend, with an ID token in each call.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	kinds "bench/gen/kinds"
	ping "bench/gen/ping"
)

// token returns an ID token of the metadata server, and fetches a new one after half an hour.
type token struct {
	mutex   sync.Mutex
	header  map[string]string
	fetched time.Time
}

func (t *token) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if time.Since(t.fetched) < 30*time.Minute {
		return t.header, nil
	}
	address := "http://" + os.Getenv("GCE_METADATA_HOST") +
		"/computeMetadata/v1/instance/service-accounts/default/identity?audience=" + url.QueryEscape(os.Getenv("BACKEND_AUDIENCE"))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Metadata-Flavor", "Google")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	t.header, t.fetched = map[string]string{"authorization": "Bearer " + string(text)}, time.Now()
	return t.header, nil
}

func (*token) RequireTransportSecurity() bool { return false }

func main() {
	backend, err := url.Parse(os.Getenv("BACKEND_URL"))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	mux := runtime.NewServeMux()
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(&token{}),
	}
	if err := ping.RegisterPingServiceHandlerFromEndpoint(ctx, mux, backend.Host, options); err != nil {
		log.Fatal(err)
	}
	if err := kinds.RegisterKindsHandlerFromEndpoint(ctx, mux, backend.Host, options); err != nil {
		log.Fatal(err)
	}
	// By default, Go stops reading an HTTP/1.1 request when its response begins, which would break bidirectional streams.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		mux.ServeHTTP(w, r)
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), handler))
}
