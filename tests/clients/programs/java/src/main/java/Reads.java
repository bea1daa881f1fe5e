import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.client.builder.AwsClientBuilder;
import com.amazonaws.services.s3.AmazonS3;
import com.amazonaws.services.s3.AmazonS3ClientBuilder;
import com.amazonaws.services.s3.transfer.TransferManagerBuilder;
import io.minio.DownloadObjectArgs;
import io.minio.GetObjectArgs;
import io.minio.MinioClient;
import io.minio.StatObjectArgs;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import org.apache.hc.client5.http.classic.methods.HttpGet;
import org.apache.hc.client5.http.classic.methods.HttpHead;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.sync.ResponseTransformer;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.HeadObjectRequest;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

/** Reads one object as one of Java's clients does: client operation endpoint bucket key output. */
public final class Reads {
  private static final String SPAN = "bytes=1000-1999";
  private final String operation;
  private final URI endpoint;
  private final String bucket;
  private final String key;
  private final Path output;

  private Reads(String[] arguments) {
    operation = arguments[1];
    endpoint = URI.create(arguments[2]);
    bucket = arguments[3];
    key = arguments[4];
    output = Path.of(arguments[5]);
  }

  public static void main(String[] arguments) throws Exception {
    Reads reads = new Reads(arguments);
    switch (arguments[0]) {
      case "v2-sync" -> reads.sync();
      case "v2-netty" -> reads.async(reads.netty(false));
      case "v2-multipart" -> reads.async(reads.netty(true));
      case "v2-crt" -> reads.async(reads.crt());
      case "v2-manager-netty" -> reads.manager(reads.netty(true));
      case "v2-manager-crt" -> reads.manager(reads.crt());
      case "v1" -> reads.v1(false);
      case "v1-manager" -> reads.v1(true);
      case "minio" -> reads.minio();
      case "s3a" -> ReadsByHadoop.main(Arrays.copyOfRange(arguments, 1, arguments.length));
      case "jdk" -> reads.jdk();
      case "apache5" -> reads.apache5();
      default -> throw new IllegalArgumentException(arguments[0]);
    }
    System.exit(0);
  }

  private GetObjectRequest get() {
    return GetObjectRequest.builder().bucket(bucket).key(key).range(operation.equals("range") ? SPAN : null).build();
  }

  private HeadObjectRequest head() {
    return HeadObjectRequest.builder().bucket(bucket).key(key).build();
  }

  private void sync() throws Exception {
    S3Client client = S3Client.builder().endpointOverride(endpoint).forcePathStyle(true).region(Region.US_EAST_1)
        .build();
    if (operation.equals("head")) {
      length(client.headObject(head()).contentLength());
    } else {
      client.getObject(get(), ResponseTransformer.toFile(output));
    }
  }

  private S3AsyncClient netty(boolean multipart) {
    return S3AsyncClient.builder().endpointOverride(endpoint).forcePathStyle(true).region(Region.US_EAST_1)
        .httpClientBuilder(NettyNioAsyncHttpClient.builder()).multipartEnabled(multipart).build();
  }

  private S3AsyncClient crt() {
    return S3AsyncClient.crtBuilder().endpointOverride(endpoint).forcePathStyle(true).region(Region.US_EAST_1).build();
  }

  private void async(S3AsyncClient client) throws Exception {
    if (operation.equals("head")) {
      length(client.headObject(head()).get().contentLength());
    } else {
      client.getObject(get(), AsyncResponseTransformer.toFile(output)).get();
    }
  }

  private void manager(S3AsyncClient client) {
    S3TransferManager manager = S3TransferManager.builder().s3Client(client).build();
    manager.downloadFile(file -> file.getObjectRequest(get()).destination(output)).completionFuture().join();
  }

  private void v1(boolean manager) throws Exception {
    var credentials = new BasicAWSCredentials(System.getenv("AWS_ACCESS_KEY_ID"), System.getenv("AWS_SECRET_ACCESS_KEY"));
    AmazonS3 client = AmazonS3ClientBuilder.standard().withPathStyleAccessEnabled(true)
        .withCredentials(new AWSStaticCredentialsProvider(credentials))
        .withEndpointConfiguration(new AwsClientBuilder.EndpointConfiguration(endpoint.toString(), "us-east-1")).build();
    if (manager) {
      TransferManagerBuilder.standard().withS3Client(client).build().download(bucket, key, output.toFile()).waitForCompletion();
    } else if (operation.equals("head")) {
      length(client.getObjectMetadata(bucket, key).getContentLength());
    } else {
      var request = new com.amazonaws.services.s3.model.GetObjectRequest(bucket, key);
      if (operation.equals("range")) {
        request.setRange(1000, 1999);
      }
      client.getObject(request, output.toFile());
    }
  }

  private void minio() throws Exception {
    MinioClient client = MinioClient.builder().endpoint(endpoint.toString())
        .credentials(System.getenv("AWS_ACCESS_KEY_ID"), System.getenv("AWS_SECRET_ACCESS_KEY")).build();
    switch (operation) {
      case "head" -> length(client.statObject(StatObjectArgs.builder().bucket(bucket).object(key).build()).size());
      case "download" -> client.downloadObject(
          DownloadObjectArgs.builder().bucket(bucket).object(key).filename(output.toString()).build());
      default -> {
        var asked = GetObjectArgs.builder().bucket(bucket).object(key);
        if (operation.equals("range")) {
          asked.offset(1000L).length(1000L);
        }
        try (InputStream body = client.getObject(asked.build())) {
          Files.copy(body, output, StandardCopyOption.REPLACE_EXISTING);
        }
      }
    }
  }

  private URI url() {
    return URI.create(endpoint + "/" + bucket + "/" + key);
  }

  private void jdk() throws Exception {
    HttpClient client = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();
    HttpRequest.Builder request = HttpRequest.newBuilder(url());
    if (operation.equals("head")) {
      request.method("HEAD", HttpRequest.BodyPublishers.noBody());
    }
    if (operation.equals("range")) {
      request.header("Range", SPAN);
    }
    HttpResponse<byte[]> answer = client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
    demand(answer.statusCode());
    if (operation.equals("head")) {
      length(answer.headers().firstValueAsLong("content-length").orElse(-1));
    } else {
      Files.write(output, answer.body());
    }
  }

  private void apache5() throws Exception {
    try (var client = HttpClients.createDefault()) {
      if (operation.equals("head")) {
        client.execute(new HttpHead(url()), answer -> {
          demand(answer.getCode());
          length(Long.parseLong(answer.getHeader("content-length").getValue()));
          return null;
        });
        return;
      }
      HttpGet request = new HttpGet(url());
      if (operation.equals("range")) {
        request.setHeader("Range", SPAN);
      }
      client.execute(request, answer -> {
        demand(answer.getCode());
        return Files.write(output, EntityUtils.toByteArray(answer.getEntity()));
      });
    }
  }

  private static void demand(int status) {
    if (status >= 300) {
      throw new IllegalStateException("status " + status);
    }
  }

  private void length(long length) throws java.io.IOException {
    Files.writeString(output, Long.toString(length));
  }
}
