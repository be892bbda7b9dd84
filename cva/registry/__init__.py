"""The register of households: what was submitted, validated, sealed and kept.

* `validation` - one record becomes a household and what is to be said about it (pure);
* `places` - provinces and countries, however they were written;
* `importing` - a whole file in one transaction, and `answering` - what is said of it afterwards;
* `snapshot` - the frozen facts that decisions are made from;
* `persons` and `linking` - people opened in memory, and runs that find who may be the same;
* `questions`, `duplicates` - what people are asked about pairs, and what they decide, merge, undo;
* `checking` - one person against the registry, while they stand there;
* `assistance`, `lists`, `exporting` - other agencies' lists in, and ours out;
* `policies`, `overlaps` - what counts as given twice, and what people do about a finding.
"""
