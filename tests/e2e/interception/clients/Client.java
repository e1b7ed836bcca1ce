// java Client.java URL TOKEN CERTIFICATE: asks twice with java.net.http, trusting the world's CA, which Java's own store
// does not know, and prints the heads of the answers.
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    public static void main(String[] words) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var file = new FileInputStream(words[2])) {
            store.setCertificateEntry("world", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        var client = HttpClient.newBuilder().sslContext(context).build();
        var request = HttpRequest.newBuilder(URI.create(words[0])).header("Authorization", "token " + words[1]).build();
        for (int i = 0; i < 2; i++) {
            var answer = client.send(request, BodyHandlers.ofString());
            System.out.println("HTTP/1.1 " + answer.statusCode());
            answer.headers().map().forEach((name, values) -> System.out.println(name + ": " + String.join(", ", values)));
            System.out.println();
        }
    }
}
