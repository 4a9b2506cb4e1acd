import java.io.File;
import java.nio.file.Files;
import java.nio.file.Paths;
import org.apache.rocketmq.remoting.netty.TlsHelper;
import org.apache.rocketmq.remoting.netty.TlsSystemConfig;

// Reads lines NAME KEYFILE CERTFILE PASSWORD ("-": none) from the file that is its argument, has the NameServer's own code
// build its TLS context of each, and prints "verdict NAME loads", "... plain" (the NameServer logs it and serves without
// TLS) or "... ends" (it ends with 255), with the reason.
public class LoadKeys {
    public static void main(String[] args) throws Exception {
        TlsSystemConfig.tlsTestModeEnable = false;
        TlsSystemConfig.tlsConfigFile = new File("none").getAbsolutePath();
        for (String line : Files.readAllLines(Paths.get(args[0]))) {
            String[] f = line.split(" ");
            TlsSystemConfig.tlsServerKeyPath = f[1];
            TlsSystemConfig.tlsServerCertPath = f[2];
            TlsSystemConfig.tlsServerKeyPassword = f[3].equals("-") ? null : f[3];
            System.out.println("verdict " + f[0] + " " + verdict());
        }
        System.exit(0);
    }

    private static String verdict() {
        try {
            TlsHelper.buildSslContext(false);
            return "loads";
        } catch (java.io.IOException | java.security.cert.CertificateException e) {
            return "plain " + e;
        } catch (Throwable e) {
            return "ends " + e;
        }
    }
}
