"""Interface of `load`."""

from typing import Any

from kfp import dsl
from kfp.dsl import Dataset, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def load(
    source: str,
    dataset: Output[Dataset],
    columns: list[str] = [],
    where: str = "",
    query: str = "",
    format: str = "auto",
    types: dict[str, str] = {},
    at: str = "",
    length: str = "",
    time: str = "request.time",
    decimal: str = "",
    thousands: str = "",
    types_from: str = "",
    tracking_uri: str = "",
    rename: dict[str, str] = {},
    labels: str = "",
    features: list[dict[str, Any]] = [],
    spark: dict[str, Any] = {},
    options: dict[str, Any] = {},
) -> None:
    """Load a table from files, an object store, the web, a database, a lake or a topic.

    Reads CSV, TSV, JSON lines, Parquet and Feather (version 2), plain or compressed by gzip, zstd or zip, and the
    results of SQL queries. Memory is bounded by a chunk of rows, whatever the size of the table; remote and compressed
    files are unpacked in the temporary folder (`TMPDIR`) first, which needs room for them.

    Rows keep the order of the files by name and of the rows in each. The fingerprint is of the content alone: a CSV
    file and its gzip give the same one.

    In CSV and TSV (UTF-8, quotes as in RFC 4180) a column gets its type from all of its values. It is a number
    column when all values are numbers, a time column when all are ISO 8601 dates or times, a boolean column when
    all are true or false, and text otherwise. Numbers with leading zeros stay text, and so do integers beyond 64
    bits. An empty field is missing in every column, and NA, NaN, NULL, None and the other words that pandas takes
    for missing in columns that are not text. A column where nine values out of ten are numbers and others are not
    is refused, as are lines with too many or too few fields: nothing is guessed, dropped or made missing silently.
    Numbers such as `1.234,56 €` or `12 %` and dates such as `31/12/2013` are read where one way alone fits all
    values of the column, and a warning says how; text that looks like numbers or times and is not read so, in any
    format, is reported as well.

    Values keep their worth in all formats: a conversion is exact, or refused, or a warning counts what it rounds.
    Dates become timestamps, and decimals become numbers, or text where they are whole and beyond 64 bits. Folders such
    as `carrier=UA` become columns. A column that pandas wrote as the index of the rows is left out with a warning,
    unless `columns` names it. Warnings stand in the log, in the metadata, and in the report of `validate`.

    Files that stand for far more than they seem to (archives that unpack to 200 times their size and more than 1 GB,
    texts that Parquet keeps once for many rows, rows of more than 8 MB, more than 10,000 columns) are refused, and
    sources that send more than 256 GB or go on for more than 12 hours are given up. Where
    that is meant, the environment variable `KUBELINE_LOAD_LIMITS` makes all these limits as many times as large.

    Args:
        source: What to load: a path, a folder (of files of one table, and of partitions such as `date=2013-10-01`, at
            any depth; where a file has such a column itself, the file's values are taken, and a warning says where
            they differ), a glob (`data/2013-*.csv`), or an address that begins with `file://`, `s3://`, `gs://`,
            `abfs://`, `http://`, `https://`, `postgresql://`, `mysql://`, `mariadb://`, `sqlite:///relative/path`
            (`sqlite:////absolute/path`), `bigquery://PROJECT` (`bigquery://PROJECT/DATASET?location=EU`),
            `snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=W&role=R`, `delta://`, `iceberg://` or `kafka://`. Files
            of one table have the same columns. Give credentials to the step's environment, not here: cloud identities,
            `AWS_*`, `PGPASSWORD`, `MYSQL_PWD`; parameters are shown in the UI. `mysql://…?ssl_ca=/path` names the
            authority of its server.
            A Delta table is `delta:///folder` or `delta+s3://bucket/folder`, an Iceberg table `iceberg:///folder`,
            `iceberg+s3://…` or, by a catalog, `iceberg://CATALOG/namespace.table` (`PYICEBERG_CATALOG__…` say where
            that is); behind `@` follow a version (`@v3`), a snapshot, a tag, or an ISO 8601 time. A topic whose
            messages are JSON objects is `kafka://HOST:PORT/TOPIC`, read up to where it ends at the start (a window
            of `time=kafka.time` begins at its first message), or from offset to offset: `…/TOPIC@0:100-200,1:90-180`;
            `KAFKA_CONFIG` holds client properties, or names a file of them. What DVC tracks is
            `dvc:///repository/path`, behind `@` a commit, tag or branch, from its cache or its default remote; its Git
            repository is there, and DVC need not be. The metadata keep the address of what was read.
        columns: Columns to take, in this order. Empty: all.
        where: Filter, an SQL expression over the columns in DuckDB's dialect: `distance > 500 AND carrier = 'UA'`.
            Rows for which it is true are taken. It may use columns that are not taken, but no subqueries. Empty: all
            rows.
        query: For a database, and needed there: the SQL query whose result is the table. It runs read-only.
        format: Format of the files: `csv`, `tsv`, `json` (lines), `parquet`, `feather`, or `auto`: by the ending of
            the name. `kserve`: what KServe's own logger wrote, as CloudEvents in JSON lines or in blob storage as JSON
            or Parquet; requests are paired with their responses, one row for each instance, with columns `request.*`
            and `output.*`. There, `columns` are the names of the values of requests that send lists.
        types: Types of columns that are not to be inferred: column to `text`, `integer`, `number`, `boolean`, `time`,
            or a format of times such as `%d/%m/%Y %H:%M`.
        at: The end of a window of time, which is not part of it: an ISO 8601 date or time (UTC where no offset is
            given), or what a schedule fills in. `2013-10-01 - 30m` is half an hour before. The window depends on no
            clock: a run that is late, repeated or made up for reads the same rows. Empty: the present, where a length
            is given.
        length: How long the window is: `90m`, `24h`, `7d`, or calendar months, `1mo`. Empty: from the first row on.
        time: The column whose times are meant. Of `request.time`, which the model server's payload log has, partitions
            (`date=…`) out of the window are not read.
        decimal: What stands before the fraction of numbers in CSV and TSV: `.` or `,`. Empty: what fits all values.
        thousands: What stands between groups of three digits there: `,`, `.`, a space or `'`. Empty: what fits.
        types_from: What decides the types where the values leave them open: a model package (path, URI or
            `models:/NAME@ALIAS`), a schema of `validate` (path or URI) or a dataset. So the postal codes of a window
            are text, even where all are plain numbers. `types` comes first. Empty: nothing.
        tracking_uri: Registry of `models:/…` in `types_from`. Empty: the default one.
        rename: New names of columns, from the names in the source: `{"dep_time": "departure"}`. All other inputs but
            `types_from` take the names of the source. Empty: none.
        labels: What became of the requests of a log, known later: a source like `source`, with `request.id`, the
            label, and, where requests have several rows, `request.row` from 0. Its columns stand beside those of the
            row, for all other inputs as well; missing where no label has come. Labels that came twice are one, and two
            that differ are none, which a warning counts. Empty: none.
        features: Tables of features, of which each row gets the latest that were known at its `time`: ``[{"source":
            "s3://bucket/weather/", "keys": ["station"], "time": "observed", "max_age": "2h"}]``, with ``created``,
            ``by_created``, ``delay``, ``zone``, ``columns``, ``rename``, ``prefix``, ``query``, ``format`` and
            ``types``, or ``[{"source": "feast:///repository", "columns": ["driver_stats:trips"]}]`` (docs/sources.md).
            Missing where none was known. Their columns stand behind those of the row, for all other inputs as well.
            Empty: none.
        spark: A SparkApplication of the Spark operator that writes `source` before it is read: ``{"image": …, "main":
            "s3a://bucket/prepare.py", "version": "4.0.4", "arguments": ["--to", "{source}"]}``, with ``executors``,
            ``cores``, ``memory``, ``conf``, ``main_class``, ``service_account``, ``namespace``. It is removed when it
            has ended, or the step has. Empty: none.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter.

    Returns:
        dataset: Folder of `part-*.parquet` files; metadata rows, columns, bytes, fingerprint (SHA-256 of names, types
            and values: the version of the data), source (without credentials) and, where there are any, window (as an
            interval of ISO 8601), features (what was joined) and warnings.
    """
    given = {**locals()}

    from kubeline.loading import load as implementation
    from kubeline.options import inputs_of

    inputs = inputs_of(given)
    implementation.run(file_format=inputs.pop("format"), **inputs)
