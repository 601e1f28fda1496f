"""Two programs: ``python -m shoal.engines.beam.texts.ingest`` sends texts to Pub/Sub, ``...texts.cluster`` reads, embeds and clusters them."""
