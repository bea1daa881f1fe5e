import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileSystem;

/** Reads one object as Hadoop's S3A does: operation endpoint bucket key output. */
public final class ReadsByHadoop {
  public static void main(String[] arguments) throws Exception {
    Path output = Path.of(arguments[4]);
    var object = new org.apache.hadoop.fs.Path("s3a://" + arguments[2] + "/" + arguments[3]);
    try (FileSystem files = FileSystem.get(object.toUri(), configuration(arguments[1]))) {
      switch (arguments[0]) {
        case "head" -> Files.writeString(output, Long.toString(files.getFileStatus(object).getLen()));
        case "range" -> Files.write(output, range(files, object));
        case "get" -> {
          try (InputStream body = files.open(object)) {
            Files.copy(body, output, StandardCopyOption.REPLACE_EXISTING);
          }
        }
        case "download" -> files.copyToLocalFile(false, object, new org.apache.hadoop.fs.Path(output.toUri()), true);
        default -> throw new IllegalArgumentException(arguments[0]);
      }
    }
  }

  private static byte[] range(FileSystem files, org.apache.hadoop.fs.Path object) throws IOException {
    byte[] thousand = new byte[1000];
    try (FSDataInputStream body = files.open(object)) {
      body.readFully(1000, thousand);
    }
    return thousand;
  }

  private static Configuration configuration(String endpoint) {
    Configuration configuration = new Configuration();
    configuration.set("fs.s3a.endpoint", endpoint);
    configuration.set("fs.s3a.endpoint.region", "us-east-1");
    configuration.set("fs.s3a.path.style.access", "true");
    configuration.set("fs.s3a.access.key", System.getenv("AWS_ACCESS_KEY_ID"));
    configuration.set("fs.s3a.secret.key", System.getenv("AWS_SECRET_ACCESS_KEY"));
    configuration.set("hadoop.tmp.dir", System.getProperty("user.dir"));
    return configuration;
  }
}
