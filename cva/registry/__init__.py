"""The register of households: what was submitted, validated, sealed and kept.

* `validation` - one record becomes a household and what is to be said about it (pure);
* `places` - provinces and countries, however they were written;
* `importing` - a whole file in one transaction, and `answering` - what is said of it afterwards;
* `snapshot` - the frozen facts that decisions are made from;
* `duplicates` - what people decide of two registrations that share an identifier.
"""
