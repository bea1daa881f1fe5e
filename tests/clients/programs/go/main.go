// Program with_go reads one object as one of Go's clients does: client operation endpoint bucket key output.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	awsv1 "github.com/aws/aws-sdk-go/aws"
	sessionv1 "github.com/aws/aws-sdk-go/aws/session"
	s3v1 "github.com/aws/aws-sdk-go/service/s3"
	"github.com/aws/aws-sdk-go/service/s3/s3manager"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const span = "bytes=1000-1999"

type ask struct{ operation, endpoint, bucket, key, output string }

func main() {
	a := ask{os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]}
	clients := map[string]func(ask) error{
		"aws-v1": awsV1, "aws-v2": awsV2, "manager": downloading(withManager),
		"transfermanager": downloading(withTransferManager),
		"minio":           withMinio, "net-http": netHTTP,
	}
	if err := clients[os.Args[1]](a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func awsV2Client(a ask) (*s3.Client, error) {
	loaded, err := config.LoadDefaultConfig(context.Background())
	return s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.BaseEndpoint = aws.String(a.endpoint)
		o.UsePathStyle = true
	}), err
}

func awsV2(a ask) error {
	client, err := awsV2Client(a)
	if err != nil {
		return err
	}
	if a.operation == "head" {
		head, err := client.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: &a.bucket, Key: &a.key})
		if err != nil {
			return err
		}
		return a.writesLength(*head.ContentLength)
	}
	input := &s3.GetObjectInput{Bucket: &a.bucket, Key: &a.key}
	if a.operation == "range" {
		input.Range = aws.String(span)
	}
	got, err := client.GetObject(context.Background(), input)
	if err != nil {
		return err
	}
	return a.writes(got.Body)
}

// Function downloading makes a client of a manager, which writes the parts of an object to their places in a file.
func downloading(download func(*s3.Client, *os.File, ask) error) func(ask) error {
	return func(a ask) error {
		client, err := awsV2Client(a)
		if err != nil {
			return err
		}
		file, err := os.Create(a.output)
		if err != nil {
			return err
		}
		defer file.Close()
		return download(client, file, a)
	}
}

func withManager(client *s3.Client, file *os.File, a ask) error {
	_, err := manager.NewDownloader(client).Download(context.Background(), file, &s3.GetObjectInput{Bucket: &a.bucket, Key: &a.key})
	return err
}

func withTransferManager(client *s3.Client, file *os.File, a ask) error {
	// What it does by default: it reads the parts of an object by their numbers.
	parts := transfermanager.New(client, func(o *transfermanager.Options) { o.GetObjectType = types.GetObjectParts })
	_, err := parts.DownloadObject(context.Background(), &transfermanager.DownloadObjectInput{Bucket: &a.bucket, Key: &a.key, WriterAt: file})
	return err
}

func awsV1(a ask) error {
	session, err := sessionv1.NewSession(&awsv1.Config{Endpoint: &a.endpoint, S3ForcePathStyle: awsv1.Bool(true)})
	if err != nil {
		return err
	}
	client := s3v1.New(session)
	switch a.operation {
	case "head":
		head, err := client.HeadObject(&s3v1.HeadObjectInput{Bucket: &a.bucket, Key: &a.key})
		if err != nil {
			return err
		}
		return a.writesLength(*head.ContentLength)
	case "download":
		file, err := os.Create(a.output)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = s3manager.NewDownloader(session).Download(file, &s3v1.GetObjectInput{Bucket: &a.bucket, Key: &a.key})
		return err
	}
	input := &s3v1.GetObjectInput{Bucket: &a.bucket, Key: &a.key}
	if a.operation == "range" {
		input.Range = awsv1.String(span)
	}
	got, err := client.GetObject(input)
	if err != nil {
		return err
	}
	return a.writes(got.Body)
}

func withMinio(a ask) error {
	at, err := url.Parse(a.endpoint)
	if err != nil {
		return err
	}
	client, err := minio.New(at.Host, &minio.Options{Creds: credentials.NewEnvAWS()})
	if err != nil {
		return err
	}
	background := context.Background()
	switch a.operation {
	case "head":
		info, err := client.StatObject(background, a.bucket, a.key, minio.StatObjectOptions{})
		if err != nil {
			return err
		}
		return a.writesLength(info.Size)
	case "download":
		return client.FGetObject(background, a.bucket, a.key, a.output, minio.GetObjectOptions{})
	}
	options := minio.GetObjectOptions{}
	if a.operation == "range" {
		if err := options.SetRange(1000, 1999); err != nil {
			return err
		}
	}
	object, err := client.GetObject(background, a.bucket, a.key, options)
	if err != nil {
		return err
	}
	return a.writes(object)
}

func netHTTP(a ask) error {
	method := http.MethodGet
	if a.operation == "head" {
		method = http.MethodHead
	}
	request, err := http.NewRequest(method, a.endpoint+"/"+a.bucket+"/"+a.key, nil)
	if err != nil {
		return err
	}
	if a.operation == "range" {
		request.Header.Set("Range", span)
	}
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if got.StatusCode >= 300 {
		return fmt.Errorf("%s", got.Status)
	}
	if a.operation == "head" {
		return a.writesLength(got.ContentLength)
	}
	return a.writes(got.Body)
}

func (a ask) writes(body io.ReadCloser) error {
	defer body.Close()
	file, err := os.Create(a.output)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(file, body)
	return err
}

func (a ask) writesLength(length int64) error {
	return os.WriteFile(a.output, []byte(strconv.FormatInt(length, 10)), 0o644)
}
