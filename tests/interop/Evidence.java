/* Evidence.java - BouncyCastle beside us: makes evidence records for our reader, judges the records that we make.
 *
 *   java … Evidence make OUT               groups, records and the authority's certificate, as tests/unit/vectors/evidence holds them
 *   java … Evidence check TSA ERS DIR OTHER…   ERS must prove the files of DIR, and of none of the OTHERs
 */
import java.io.File;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.List;

import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.DigestCalculator;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.TSPAlgorithms;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampRequestGenerator;
import org.bouncycastle.tsp.TimeStampResponse;
import org.bouncycastle.tsp.TimeStampResponseGenerator;
import org.bouncycastle.tsp.TimeStampTokenGenerator;
import org.bouncycastle.tsp.ers.ERSArchiveTimeStampGenerator;
import org.bouncycastle.tsp.ers.ERSByteData;
import org.bouncycastle.tsp.ers.ERSData;
import org.bouncycastle.tsp.ers.ERSDataGroup;
import org.bouncycastle.tsp.ers.ERSEvidenceRecord;
import org.bouncycastle.tsp.ers.ERSEvidenceRecordGenerator;
import org.bouncycastle.tsp.ers.ERSException;

public class Evidence {
    static final BouncyCastleProvider BC = new BouncyCastleProvider();
    static DigestCalculatorProvider digests;
    static KeyPair keys;
    static X509CertificateHolder cert;

    static DigestCalculator digest(ASN1ObjectIdentifier oid) throws Exception { return digests.get(new AlgorithmIdentifier(oid)); }

    static List<ERSData> files(Path dir) throws Exception {
        File[] list = dir.toFile().listFiles();
        Arrays.sort(list);
        List<ERSData> out = new ArrayList<>();
        for (File f : list) { out.add(new ERSByteData(Files.readAllBytes(f.toPath()))); }
        return out;
    }

    static ERSDataGroup group(Path dir) throws Exception { return new ERSDataGroup(files(dir)); }

    static void newAuthority() throws Exception {
        KeyPairGenerator g = KeyPairGenerator.getInstance("EC", BC);
        g.initialize(new java.security.spec.ECGenParameterSpec("P-256"));
        keys = g.generateKeyPair();
        X500Name name = new X500Name("CN=Tijddienst van de proef, O=Testministerie");
        JcaX509v3CertificateBuilder b = new JcaX509v3CertificateBuilder(name, BigInteger.valueOf(System.nanoTime()), new Date(1577836800000L),
            new Date(3155760000000L), name, keys.getPublic());
        b.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature));
        b.addExtension(Extension.extendedKeyUsage, true, new ExtendedKeyUsage(KeyPurposeId.id_kp_timeStamping));
        cert = b.build(new JcaContentSignerBuilder("SHA256withECDSA").setProvider(BC).build(keys.getPrivate()));
    }

    static TimeStampResponse stamp(TimeStampRequest q) throws Exception {
        TimeStampTokenGenerator t = new TimeStampTokenGenerator(
            new JcaSimpleSignerInfoGeneratorBuilder().setProvider(BC).build("SHA256withECDSA", keys.getPrivate(),
                new JcaX509CertificateConverter().setProvider(BC).getCertificate(cert)),
            digest(NISTObjectIdentifiers.id_sha256), new ASN1ObjectIdentifier("2.25.24262429914200476670695917986835365270"));
        t.addCertificates(new JcaCertStore(Collections.singletonList(cert)));
        TimeStampResponse r = new TimeStampResponseGenerator(t, TSPAlgorithms.ALLOWED).generate(q, new BigInteger(120, new SecureRandom()), new Date());
        r.validate(q);
        return r;
    }

    static TimeStampRequestGenerator request() {
        TimeStampRequestGenerator q = new TimeStampRequestGenerator();
        q.setCertReq(true);
        return q;
    }

    static void make(Path out) throws Exception {
        newAuthority();
        Files.write(out.resolve("authority.der"), cert.getEncoded());
        ERSArchiveTimeStampGenerator batch = new ERSArchiveTimeStampGenerator(digest(NISTObjectIdentifiers.id_sha256));
        List<ERSDataGroup> groups = new ArrayList<>();
        for (int i = 1; i <= 3; i++) {
            Path dir = out.resolve("object" + i);
            Files.createDirectories(dir);
            for (int k = 1; k <= 2 + i; k++) { Files.writeString(dir.resolve("file" + k), "Bestand " + k + " van object " + i + "\n"); }
            groups.add(group(dir));
            batch.addData(groups.get(i - 1));
        }
        TimeStampRequest q = batch.generateTimeStampRequest(request());
        TimeStampResponse r = stamp(q);
        List<ERSEvidenceRecord> records = new ERSEvidenceRecordGenerator(digests).generate(batch.generateArchiveTimeStamps(r));
        for (ERSEvidenceRecord e : records) {
            for (int i = 1; i <= 3; i++) {
                if (!contains(e, groups.get(i - 1))) { continue; }
                Files.write(out.resolve("batch" + i + ".ers"), e.getEncoded());
                if (i != 1) { continue; }
                ERSEvidenceRecord renewed = e.renewTimeStamp(stamp(e.generateTimeStampRenewalRequest(request())));
                Files.write(out.resolve("renewed1.ers"), renewed.getEncoded());
                DigestCalculator sha512 = digest(NISTObjectIdentifiers.id_sha512);
                TimeStampResponse again = stamp(renewed.generateHashRenewalRequest(sha512, groups.get(0), request()));
                Files.write(out.resolve("rehashed1.ers"), renewed.renewHash(sha512, groups.get(0), again).getEncoded());
            }
        }
    }

    static boolean contains(ERSEvidenceRecord e, ERSDataGroup g) {
        try {
            e.validatePresent(g, new Date());
            return true;
        } catch (ERSException x) {
            return false;
        }
    }

    static void check(String[] a) throws Exception {
        X509CertificateHolder authority = new X509CertificateHolder(Files.readAllBytes(Path.of(a[1])));
        ERSEvidenceRecord e = new ERSEvidenceRecord(Files.readAllBytes(Path.of(a[2])), digests);
        e.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build(authority));
        e.validatePresent(group(Path.of(a[3])), new Date());
        List<ERSData> less = files(Path.of(a[3]));
        less.remove(0);
        if (contains(e, new ERSDataGroup(less))) { throw new Exception("proves the object without its first file too"); }
        for (int i = 4; i < a.length; i++) {
            if (contains(e, group(Path.of(a[i])))) { throw new Exception("proves " + a[i] + " too"); }
        }
        System.out.println("BouncyCastle accepts " + a[2]);
    }

    public static void main(String[] a) throws Exception {
        digests = new JcaDigestCalculatorProviderBuilder().setProvider(BC).build();
        if (a.length == 2 && a[0].equals("make")) {
            make(Path.of(a[1]));
        } else if (a.length >= 4 && a[0].equals("check")) {
            check(a);
        } else {
            System.err.println("Evidence make OUT | check TSA ERS DIR OTHER...");
            System.exit(64);
        }
    }
}
