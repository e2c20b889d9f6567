import pytest

from nexperia_tf import errors
from nexperia_tf.data import manifest

# The contract: other stages and users read these columns by name and in this order.
COLUMNS = (
    "image_id,path,label_given,label,defect_type,lot,machine,group,width,height,mode,"
    "format,sha256,pixel_sha256,phash,brightness,contrast,sharpness,device_score,boxes,"
    "cluster,duplicate_of,duplicate_kind,twin_group,split,dropped_because"
)


def _rows() -> list[manifest.Row]:
    return [
        manifest.Row(
            image_id="b,quoted",
            path="b,quoted.bmp",
            label_given="defect",
            label="defect",
            width=275,
            height=267,
            brightness=51.25,
            boxes=[[1, 2, 30, 40], [1.5, 2, 3, 4]],
            split="train",
            extra={"cell_type": "mono"},
        ),
        manifest.Row(image_id="a", path="a.bmp", dropped_because="unreadable"),
    ]


def test_rows_come_back_as_written_and_sorted_by_path(tmp_path):
    file = tmp_path / "manifest.csv"
    manifest.write(file, _rows())
    assert file.read_text("utf-8").splitlines()[0] == COLUMNS + ",cell_type"
    a, b = manifest.read(file)
    assert (a.path, a.width, a.boxes, a.used) == ("a.bmp", None, [], False)
    assert b == _rows()[0]


def test_the_order_of_rows_does_not_change_the_file(tmp_path):
    manifest.write(tmp_path / "one.csv", _rows())
    manifest.write(tmp_path / "two.csv", _rows()[::-1])
    one, two = (tmp_path / name for name in ("one.csv", "two.csv"))
    assert one.read_bytes() == two.read_bytes()


def test_a_missing_file_column_or_value_is_named(tmp_path):
    file = tmp_path / "manifest.csv"
    with pytest.raises(errors.BadInput, match="no such file"):
        manifest.read(file)
    file.write_text("image_id,path\na,a.bmp\n")
    with pytest.raises(errors.BadInput, match="column 'label_given' is missing"):
        manifest.read(file)
    manifest.write(file, _rows())
    file.write_text(file.read_text("utf-8").replace("275", "wide"), "utf-8")
    with pytest.raises(errors.BadInput, match=r"manifest.csv:3: .*'wide'"):
        manifest.read(file)
