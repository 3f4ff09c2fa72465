from automl.datasets.distributed import ChunkedDataProcessor

# Process data in 1M row chunks
processor = ChunkedDataProcessor(chunk_size=1_000_000)

# Process huge CSV file
def transform_chunk(chunk):
    # Your transformations here
    chunk['feature'] = chunk['a'] + chunk['b']
    return chunk

processor.process_csv_in_chunks(
    input_path="huge_file.csv",  # 500GB CSV file
    output_path="processed_file.csv",
    transform_fn=transform_chunk,
)
