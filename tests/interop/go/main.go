// SPDX-License-Identifier: MIT

// Interop: what the interoperability tests need of Go.
//
//	interop registry ADDRESS          a schema registry in memory; on SIGUSR1 it goes away, on SIGUSR2 it is back
//	interop relay SERVERS REGISTRY FROM TO COUNT FRAMING SCHEMA-FILE FINGERPRINT
//
// relay reads COUNT events from the topic FROM in whichever framing they are, each into Go values and no further, and writes them
// from those values to the topic TO, FRAMING being single-object or confluent. SCHEMA-FILE and its fingerprint, in hex, say
// what single-object bodies are.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
	return value
}

func serve(address string, handler http.Handler) *http.Server {
	server := &http.Server{Handler: handler}
	listener := must(net.Listen("tcp", address))
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			must(0, err)
		}
	}()
	return server
}

func registry(address string) {
	handler := srfake.NewRegistry().Handler()
	orders := make(chan os.Signal, 1)
	signal.Notify(orders, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM)
	server := serve(address, handler)
	fmt.Println("serving")
	for order := range orders {
		switch {
		case order == syscall.SIGTERM:
			return
		case order == syscall.SIGUSR1 && server != nil:
			server.Close()
			server = nil
		case order == syscall.SIGUSR2 && server == nil:
			server = serve(address, handler)
		}
	}
}

type relayer struct {
	client      *sr.Client
	own         *goavro.Codec
	fingerprint uint64
	byID        map[int]*goavro.Codec
}

// native decodes by whichever framing the value is in.
func (r *relayer) native(value []byte) any {
	if len(value) >= 10 && value[0] == 0xC3 && value[1] == 0x01 {
		if got := binary.LittleEndian.Uint64(value[2:10]); got != r.fingerprint {
			must(0, fmt.Errorf("fingerprint %016x, but the schema's is %016x", got, r.fingerprint))
		}
		native, rest, err := r.own.NativeFromBinary(value[10:])
		must(0, whole(rest, err))
		return native
	}
	id, body, err := (&sr.ConfluentHeader{}).DecodeID(value)
	must(0, err)
	if r.byID[id] == nil {
		schema := must(r.client.SchemaByID(context.Background(), id))
		r.byID[id] = must(goavro.NewCodec(schema.Schema))
	}
	native, rest, err := r.byID[id].NativeFromBinary(body)
	must(0, whole(rest, err))
	return native
}

func whole(rest []byte, err error) error {
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes after the body", len(rest))
	}
	return err
}

func relay(servers, registry, from, to string, count int, framing, file, fingerprint string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	text := string(must(os.ReadFile(file)))
	codec := must(goavro.NewCodec(text))
	// Not codec.Rabin: goavro leaves attributes in the canonical form that do not belong there.
	mark := must(strconv.ParseUint(fingerprint, 16, 64))
	prefix := binary.LittleEndian.AppendUint64([]byte{0xC3, 0x01}, mark)
	r := relayer{client: must(sr.NewClient(sr.URLs(registry))), own: codec, fingerprint: mark, byID: map[int]*goavro.Codec{}}
	if framing == "confluent" {
		made := must(r.client.CreateSchema(ctx, to+"-value", sr.Schema{Schema: text}))
		prefix = must((&sr.ConfluentHeader{}).AppendEncode(nil, made.ID, nil))
	}
	client := must(kgo.NewClient(kgo.SeedBrokers(servers), kgo.ConsumeTopics(from), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))
	defer client.Close()
	for done := 0; done < count; {
		fetches := client.PollFetches(ctx)
		must(0, fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			if done++; done > count {
				return
			}
			value := must(codec.BinaryFromNative(append([]byte{}, prefix...), r.native(record.Value)))
			out := &kgo.Record{Topic: to, Key: record.Key, Value: value, Headers: []kgo.RecordHeader{
				{Key: "ce_id", Value: []byte("go-" + string(record.Key))}, {Key: "ce_source", Value: []byte("go")},
				{Key: "ce_type", Value: []byte("zoo.Everything")}, {Key: "ce_specversion", Value: []byte("1.0")},
			}}
			must(0, client.ProduceSync(ctx, out).FirstErr())
		})
	}
	fmt.Println("relayed", count)
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "registry":
		registry(os.Args[2])
	case len(os.Args) == 10 && os.Args[1] == "relay":
		a := os.Args[2:]
		relay(a[0], a[1], a[2], a[3], must(strconv.Atoi(a[4])), a[5], a[6], a[7])
	default:
		fmt.Fprintln(os.Stderr, "usage: interop registry ADDRESS | relay SERVERS REGISTRY FROM TO COUNT FRAMING SCHEMA-FILE FINGERPRINT")
		os.Exit(2)
	}
}
