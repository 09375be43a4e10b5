"""What all contestants share: the certificate, the backends, the fleet.

Everything is made anew below `target/peers`, but for the geo database and the bodies, which are the same each time.
"""

import base64
import getpass
import grp
import os
import shutil
import string
import subprocess
from pathlib import Path

from .process import Failed, Process, free_port

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target" / "peers"
CONFIGS = Path(__file__).resolve().parent / "configs"

# The load generators and the backends on the first, the proxy on the second.
LOAD_CPU, PROXY_CPU = {0}, {1}

TEXT = ("Causeway is measured by what a request costs, beside its peers, in one run and in turn. " * 2)[:103]
HOST = "localhost"


class Settings(string.Template):
    """Configuration files have their own uses for `$`."""

    delimiter = "@"


def write(name, values, to=None):
    """Fills in a file of configs/ and returns where it lies now."""
    # An absolute `to` stands for itself.
    path = FOLDER / (to or name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Settings((CONFIGS / name).read_text()).substitute(values))
    return path


def run(*command, **more):
    """Runs a program to its end; what it says matters only if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode:
        raise Failed(f"{command[0]} failed: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def certificate():
    """An ECDSA P-256 certificate and its key: the same for all."""
    cert, key, pem = FOLDER / "cert.pem", FOLDER / "key.pem", FOLDER / "both.pem"
    run(
        *"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(),
        *("-addext", "subjectAltName=DNS:localhost,DNS:*.example.com", "-out", cert, "-keyout", key),
    )
    pem.write_text(cert.read_text() + key.read_text())
    return {"cert": cert, "key": key, "pem": pem}


def tls_of_clients():
    """Settings for every client's OpenSSL, so that all contestants do the same work, whatever they would prefer."""
    path = FOLDER / "openssl.cnf"
    path.write_text(
        "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = clients\n[clients]\n"
        "MinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\nGroups = X25519\n"
    )
    return {"OPENSSL_CONF": str(path)}


def bodies():
    """Files that backends serve."""
    folder = FOLDER / "bodies"
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in (("64k", 64 << 10), ("100m", 100 << 20)):
        path = folder / name
        if not path.exists() or path.stat().st_size != size:
            path.write_bytes(os.urandom(1 << 16) * (size >> 16))
    return folder


def me():
    """Who runs this, as nginx wants it: its workers give up root's rights otherwise, and with them the files here."""
    return f"{getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"


def backend(name, addresses, text=TEXT):
    """One nginx that listens on all `addresses`."""
    listens = "\n        ".join(f"listen {ip}:{port} backlog=4096;" for ip, port in addresses)
    values = {"user": me(), "folder": FOLDER, "name": name, "listens": listens, "bodies": bodies(), "text": text}
    config = write("backend.conf", values, f"{name}.conf")
    command = ["nginx", "-p", str(FOLDER), "-e", str(FOLDER / f"{name}.log"), "-c", str(config)]
    process = Process(name, command, LOAD_CPU, FOLDER / f"{name}.out")
    for ip, port in addresses:
        process.await_port(port, ip)
    return process


def three_endpoints():
    """Three addresses for one backend process."""
    port = free_port()
    return [(f"127.0.1.{n}", port) for n in (1, 2, 3)]


def geo_database(networks=400_000):
    """A database as large as those that are sold; the address that the load comes from is in it."""
    path = FOLDER / f"geo-{networks}.mmdb"
    if not path.exists():
        run("cargo", "run", "--quiet", "--package", "causeway-benches", "--example", "geo-database", "--", path, networks, cwd=ROOT)
    return path


def fleet(folder, hosts, endpoints, name="web", elsewhere=None, certificates=0, path="/"):
    """Manifests of two clusters: `hosts` Ingresses, a Service for each, all on the same endpoints.

    `HOST` is among them. `elsewhere` are the second cluster's endpoints; the same ones where it is only there to be known. So many of
    the hosts have certificates of their own.
    """
    shutil.rmtree(folder, ignore_errors=True)
    names = [HOST] + [f"shop-{n}.example.com" for n in range(1, hosts)]
    for cluster, addresses in (("here", endpoints), ("there", elsewhere or endpoints)):
        target = folder / cluster
        target.mkdir(parents=True)
        # Files have a greatest size.
        for start in range(0, len(names), 1000):
            documents = []
            for n, host in enumerate(names[start : start + 1000], start):
                documents += service(cluster, f"{name}-{n}", addresses)
                if cluster == "here":
                    documents.append(ingress(f"{name}-{n}", host, path, tls=n < certificates))
                    if n < certificates:
                        documents.append(secret(f"{name}-{n}", host))
            (target / f"{start:06}.yaml").write_text("---\n".join(documents))


def service(cluster, name, addresses):
    """A Service and its endpoints."""
    yield (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n"
        "spec: {ports: [{name: web, port: 80}]}\n"
    )
    for port in sorted({port for _, port in addresses}):
        pods = ", ".join(
            f"{{addresses: [{ip}], targetRef: {{kind: Pod, uid: {cluster}-{name}-{ip}-{p}}}}}" for ip, p in addresses if p == port
        )
        yield (
            f"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-{port}, namespace: shop, "
            f"labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n"
            f"ports: [{{name: web, port: {port}}}]\nendpoints: [{pods}]\n"
        )


def ingress(name, host, path, tls):
    """All of a host below a path to the Service of the same name; its certificate is in the Secret of that name."""
    covered = f"  tls: [{{hosts: [{host}], secretName: {name}}}]\n" if tls else ""
    return (
        f"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n"
        f"  ingressClassName: causeway\n  rules: [{{host: {host}, http: {{paths: [{{path: {path}, pathType: Prefix, "
        f"backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}}}]\n{covered}"
    )


def secret(name, host):
    """A certificate of its own for a host, and its key."""
    key = run(*"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256".split())
    signed = run(
        *f"openssl req -x509 -key /dev/stdin -days 2 -subj /CN={host} -addext subjectAltName=DNS:{host}".split(),
        input=key,
    )
    data = {field: base64.b64encode(text.encode()).decode() for field, text in (("tls.crt", signed), ("tls.key", key))}
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\ntype: kubernetes.io/tls\n"
        f"data: {{tls.crt: {data['tls.crt']}, tls.key: {data['tls.key']}}}\n"
    )
