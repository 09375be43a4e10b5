//! Prints the JSON Schema of the configuration: `make schema`.

fn main() {
    println!("{:#}", causeway_config::schema());
}
