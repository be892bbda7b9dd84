"""Results for people: tables, charts, sentences; written as files that stand for themselves.

* `model`: a report as data: sections of sentences, a chart and the table it shows;
* `wording`: every sentence and name in Turkish, English and Arabic (`words.yaml`);
* `parts`, `answers`: what a projection has to say, for every question and for each;
* `charts`, `page`, `workbook`, `folder`: as HTML, XLSX, Parquet; the manifest beside them.
"""
